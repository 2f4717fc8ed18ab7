// Which rule looks at what: instances, feeds and plans. What samples say is in conditions.cpp, what becomes of alerts
// in episodes.cpp.
#include "rules/engine.h"

#include <algorithm>
#include <set>

#include "rules/instance.h"
#include "telemetry/measurand.h"

namespace wattd::rules {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostPlans = 8;

/// Whether rules see two records alike.
bool same_to_rules(const wattd::Device& a, const wattd::Device& b) {
  return a.id == b.id && a.type == b.type && a.building == b.building && a.role == b.role &&
         a.parent_id == b.parent_id && a.formula == b.formula && a.status == b.status && a.deleted_at == b.deleted_at;
}

/// The device whose fields a condition looks at.
const std::string& subject(const Condition& condition, const std::string& device_id) {
  return condition.device.empty() ? device_id : condition.device;
}

}  // namespace

Engine::Engine(Options options, Calendar calendar, FactsOf facts_of)
    : options_(std::move(options)),
      calendar_(std::move(calendar)),
      facts_of_(std::move(facts_of)),
      silent_(std::make_unique<std::priority_queue<Silent>>()) {}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

bool concerns(const Rule& rule, const std::string& device_id, const wattd::Device* record) {
  if (rule.is_total || (record != nullptr && record->deleted_at)) return false;
  switch (rule.scope) {
    case RuleScope::all_devices: return true;
    case RuleScope::selected_devices: return std::ranges::find(rule.device_ids, device_id) != rule.device_ids.end();
    case RuleScope::building: return record != nullptr && record->building == rule.scope_name;
    case RuleScope::device_type: return record != nullptr && record->type == rule.scope_name;
  }
  return false;
}

bool Engine::applies_to(const Rule& rule, const std::string& device_id) const {
  const auto known = known_index_.find(device_id);
  return rule.status == RuleStatus::active &&
         concerns(rule, device_id, known == known_index_.end() ? nullptr : &known_[known->second]);
}

std::vector<Alert> Engine::set_devices(std::vector<wattd::Device> devices, Moment moment) {
  if (std::ranges::equal(devices, known_, same_to_rules)) return {};
  known_ = std::move(devices);
  known_index_.clear();
  for (std::size_t i = 0; i < known_.size(); ++i) known_index_[known_[i].id] = i;
  rebuild(moment, std::exchange(instances_, {}));
  return resolve_orphans({}, moment);
}

std::vector<Alert> Engine::set_device(const wattd::Device& record, Moment moment) {
  const auto known = known_index_.find(record.id);
  if (known != known_index_.end() && same_to_rules(known_[known->second], record)) return {};
  const bool is_new = known == known_index_.end();
  if (is_new) {
    known_index_[record.id] = known_.size();
    known_.push_back(record);
  } else {
    known_[known->second] = record;
  }
  const auto in_a_building = [](const Rule& rule) { return rule.is_total; };
  if (is_new && !devices_.contains(record.id) &&
      (record.building.empty() || std::ranges::none_of(rules_, in_a_building))) {
    attach(device(record.id), record.id, moment);
    return {};
  }
  rebuild(moment, std::exchange(instances_, {}));
  return resolve_orphans({}, moment);
}

std::vector<Alert> Engine::set_rules(std::vector<Rule> rules, Moment moment) {
  // What a rule was told to judge decides whether its state still means anything.
  std::map<Key, std::unique_ptr<Instance>> kept, gone;
  for (auto& [key, instance] : instances_) {
    const auto same = std::ranges::find(rules, key.first, &Rule::id);
    const bool keeps = same != rules.end() && same->judges_like(*instance->rule);
    if (!keeps && same != rules.end()) {
      // The alert of a rule that was changed stands on until the new one has been judged.
      auto fresh = std::make_unique<Instance>();
      fresh->device_id = instance->device_id;
      fresh->episode = std::move(instance->episode);
      if (instance->troubles) fresh->own_troubles().noticed_at = instance->troubles->noticed_at;
      instance = std::move(fresh);
    }
    (same != rules.end() ? kept : gone).insert({key, std::move(instance)});
  }
  rules_ = std::move(rules);
  rules_.shrink_to_fit();
  instances_.clear();
  rebuild(moment, std::move(kept));
  return resolve_orphans(std::move(gone), moment);
}

/// Connects every rule with the devices in its scope anew. Windows stay with their devices.
void Engine::rebuild(Moment moment, std::map<Key, std::unique_ptr<Instance>> kept) {
  std::unordered_map<std::string, std::unique_ptr<Watched>> old = std::exchange(devices_, {});
  *silent_ = {};
  standing_.clear();
  muted_.clear();
  touched_.clear();
  instances_ = std::move(kept);
  general_.clear(), of_device_.clear();
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    if (rules_[i].scope != RuleScope::selected_devices) general_.push_back(i);
    for (const auto& id : rules_[i].device_ids) of_device_[id].push_back(i);
  }
  for (auto& [key, instance] : instances_) instance->rule = nullptr;
  const auto revive = [&](const std::string& id) {
    auto& fresh = device(id);
    if (fresh.is_attached) return;
    if (const auto before = old.find(id); before != old.end()) {
      fresh.arrived = before->second->arrived;
      for (auto& feed : before->second->feeds) {
        feed.watches.clear();
        fresh.feeds.push_back(std::move(feed));
      }
    }
    attach(fresh, id, moment);
  };
  for (const auto& record : known_) revive(record.id);
  for (const auto& rule : rules_) {
    for (const auto& id : rule.device_ids) revive(id);
  }
  for (const auto& [id, watched] : old) revive(id);
  attach_totals();
  for (auto& [id, watched] : devices_)
    std::erase_if(watched->feeds, [](const Feed& feed) { return feed.watches.empty(); });
  for (const auto& [key, instance] : instances_) {
    if (instance->rule == nullptr) continue;
    if (instance->episode) standing_.push_back(instance.get());
    else if (instance->is_muted()) muted_.push_back(instance.get());
  }
  count_active();
}

std::vector<Alert> Engine::resolve_orphans(std::map<Key, std::unique_ptr<Instance>> gone, Moment moment) {
  std::vector<Alert> resolved;
  for (auto entry = instances_.begin(); entry != instances_.end();) {
    if (entry->second->rule != nullptr) {
      ++entry;
      continue;
    }
    gone.insert({entry->first, std::move(entry->second)});
    entry = instances_.erase(entry);
  }
  for (const auto& [key, instance] : gone) {
    if (!instance->episode) continue;
    auto& alert = instance->episode->alert;
    if (alert.status == AlertStatus::resolved) instance->episode->told.clear();  // they were told when a person said so
    else alert.status = AlertStatus::resolved, alert.resolved_at = moment.now;
    alert.stands = false;
    for (const auto& channel : instance->episode->told) orphan_notices_.push_back({alert.id, channel, "resolved"});
    resolved.push_back(alert);
  }
  count_active();
  return resolved;
}

Engine::Watched& Engine::device(const std::string& id) {
  auto& entry = devices_[id];
  if (!entry) entry = std::make_unique<Watched>();
  return *entry;
}

Engine::Instance& Engine::instance(std::size_t rule, const std::string& device_id) {
  auto& entry = instances_[{rules_[rule].id, device_id}];
  if (!entry) entry = std::make_unique<Instance>();
  entry->rule = &rules_[rule];
  entry->device_id = device_id;
  if (entry->conditions.empty()) {
    entry->conditions.resize(entry->rule->conditions.size());
    for (std::size_t i = 0; i < entry->conditions.size(); ++i) {
      const auto& condition = entry->rule->conditions[i];
      if (is_interval(condition.kind))
        entry->conditions[i].interval =
            std::make_unique<Interval>(std::chrono::duration_cast<std::chrono::minutes>(condition.window));
    }
  }
  return *entry;
}

void Engine::watch(Watched& device, const std::string& property, Watch watch) {
  const auto& condition = watch.instance->rule->conditions[watch.condition];
  auto feed = std::ranges::find(device.feeds, property, &Feed::property);
  if (feed == device.feeds.end()) {
    device.feeds.emplace_back();
    feed = std::prev(device.feeds.end());
    feed->property = property;
    feed->arrived = device.arrived;
  }
  if (has_window(condition.kind)) {
    if (!feed->window) feed->window.emplace();
    if (feed->window->length() < condition.window) feed->is_window_new = true;
    feed->window->keep(condition.window);
  }
  feed->watches.push_back(watch);
  device.plans.clear();
}

void Engine::attach(Watched& watched, const std::string& id, Moment moment) {
  watched.is_attached = true;
  if (watched.arrived == Instant{}) watched.arrived = moment.mono;
  for (const auto rule : general_) attach(watched, id, rule, moment);
  if (const auto named = of_device_.find(id); named != of_device_.end()) {
    for (const auto rule : named->second) attach(watched, id, rule, moment);
  }
}

void Engine::attach(Watched& watched, const std::string& id, std::size_t rule, Moment moment) {
  if (!applies_to(rules_[rule], id)) return;
  auto& one = instance(rule, id);
  for (std::size_t c = 0; c < one.rule->conditions.size(); ++c) {
    const auto& condition = one.rule->conditions[c];
    const auto& on = subject(condition, id);
    auto& target = on == id ? watched : device(on);
    if (target.arrived == Instant{}) target.arrived = moment.mono;
    Watch wanted{&one, static_cast<std::uint16_t>(c)};
    if (condition.kind == ConditionKind::no_data) {
      if (condition.property.empty()) target.any.push_back(wanted);
      else watch(target, condition.property, wanted);
      if (may_be_missed(wanted, on)) silent_->push({target.arrived + condition.window, on, wanted});
      continue;
    }
    if (is_interval(condition.kind)) count_on(one, c, {{on, 1}});
    watch(target, condition.property, wanted);
    if (condition.kind == ConditionKind::deviation) {
      wanted.is_reference = true;
      watch(target, condition.reference, wanted);
    }
  }
}

/// Whether the silence of a device means something: not of one that is out of use, nor of one that nobody knows.
bool Engine::may_be_missed(const Watch& watch, const std::string& device_id) const {
  const auto known = known_index_.find(device_id);
  if (known == known_index_.end()) return watch.instance->rule->scope != RuleScope::all_devices;
  return known_[known->second].status == DeviceStatus::active && !known_[known->second].deleted_at;
}

/// Says which meters a condition adds up. It begins anew, from what was read before, where they are others now or are
/// known to count differently.
void Engine::count_on(Instance& instance, std::size_t condition, const std::vector<MeterTerm>& meters) {
  auto& parts = instance.conditions[condition].interval->parts();
  std::vector<IntervalPart> wanted;
  for (const auto& [device, sign] : meters) {
    const auto& property = instance.rule->conditions[condition].property;
    const auto facts = facts_of_ ? facts_of_(device, property) : std::nullopt;
    const auto measurand = find_measurand(facts && !facts->measurand.empty() ? facts->measurand : property);
    const bool is_counter = !measurand || measurand->counter;
    wanted.emplace_back(IntervalPart::Source{device, is_counter, facts ? facts->counter : CounterRules{}, sign});
  }
  if (std::ranges::equal(parts, wanted, {}, &IntervalPart::source, &IntervalPart::source)) return;
  wants_recall_ = wants_recall_ || !parts.empty();
  parts = std::move(wanted);
  instance.is_new = true;
}

void Engine::attach_totals() {
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const auto& rule = rules_[i];
    if (!rule.is_total || rule.status != RuleStatus::active) continue;
    const auto terms = terms_of_building(rule.scope_name, known_);
    if (!terms) continue;  // no meter yet
    auto& one = instance(i, rule.scope_name);
    for (std::size_t c = 0; c < rule.conditions.size(); ++c) {
      count_on(one, c, *terms);
      for (std::size_t t = 0; t < terms->size(); ++t) {
        const auto& meter = (*terms)[t].device_id;
        watch(device(meter), rule.conditions[c].property,
              {&one, static_cast<std::uint16_t>(c), static_cast<std::uint16_t>(t)});
      }
    }
  }
}

const Engine::Plan& Engine::plan_of(Watched& watched, const Reading& reading) {
  const auto fits = [&](const Plan& plan) {
    if (plan.fields.size() != reading.fields.size()) return false;
    for (std::size_t i = 0; i < plan.fields.size(); ++i) {
      if (plan.fields[i] != reading.fields[i].name) return false;
    }
    return true;
  };
  if (watched.last_plan < watched.plans.size() && fits(watched.plans[watched.last_plan])) [[likely]]
    return watched.plans[watched.last_plan];
  const auto known = std::ranges::find_if(watched.plans, fits);
  if (known == watched.plans.end()) {
    if (watched.plans.size() >= kMostPlans) watched.plans.clear();
    Plan plan;
    std::vector<std::string> measurands;
    for (const auto& field : reading.fields) {
      const auto facts = facts_of_ ? facts_of_(reading.device_id, field.name) : std::nullopt;
      plan.fields.push_back(field.name);
      measurands.push_back(facts ? facts->measurand : "");
    }
    for (std::size_t f = 0; f < watched.feeds.size(); ++f) {
      // A field's own name goes before what is known to stand behind another.
      auto found = std::ranges::find(plan.fields, watched.feeds[f].property);
      auto place = found - plan.fields.begin();
      if (found == plan.fields.end()) {
        found = std::ranges::find(measurands, watched.feeds[f].property);
        if (found == measurands.end()) continue;
        place = found - measurands.begin();
      }
      plan.entries.push_back({static_cast<std::uint32_t>(place), static_cast<std::uint32_t>(f)});
    }
    watched.plans.push_back(std::move(plan));
    watched.last_plan = watched.plans.size() - 1;
  } else {
    watched.last_plan = static_cast<std::size_t>(known - watched.plans.begin());
  }
  return watched.plans[watched.last_plan];
}

void Engine::judge(const Reading& reading, Moment moment, Verdict& verdict) {
  follow_clock(moment);
  auto found = devices_.find(reading.device_id);
  if (found == devices_.end()) {
    device(reading.device_id);
    found = devices_.find(reading.device_id);
    attach(*found->second, reading.device_id, moment);
  }
  auto& watched = *found->second;
  Arrival arrival{reading.at, moment, reading.at < moment.now - options_.late};
  touched_.clear();
  if (!arrival.is_late) {
    watched.arrived = moment.mono;
    for (const auto& watch : watched.any) conclude(*watch.instance, watch.condition, std::nullopt, arrival);
  }
  if (watched.feeds.empty() && touched_.empty()) return;
  for (const auto& entry : plan_of(watched, reading).entries) {
    const auto number = judged_as(reading.fields[entry.field].value);
    if (number) feed(watched.feeds[entry.feed], *number, arrival);
  }
  for (std::size_t i = 0; i < touched_.size(); ++i) settle(*touched_[i], arrival, verdict);
}

const Alert* Engine::find(const std::string& alert_id) const {
  for (const auto* one : standing_) {
    if (one->episode && one->episode->alert.id == alert_id) return &one->episode->alert;
  }
  return nullptr;
}

void Engine::replace(const Alert& alert) {
  const auto found = instances_.find({alert.rule_id, alert.device_id});
  if (found == instances_.end() || !found->second->episode || found->second->episode->alert.id != alert.id) return;
  found->second->episode->alert = alert;
  count_active();
}

std::vector<std::string> Engine::standing_channels() const {
  std::set<std::string> channels;
  for (const auto* one : standing_) {
    if (one->episode && one->episode->alert.is_active() && one->episode->alert.status != AlertStatus::suppressed)
      channels.insert(one->rule->channels.begin(), one->rule->channels.end());
    if (one->episode && one->episode->alert.is_active() && one->episode->alert.escalated_at)
      channels.insert(one->rule->escalate_to.begin(), one->rule->escalate_to.end());
  }
  return {channels.begin(), channels.end()};
}

void Engine::count_active() {
  active_ = {};
  for (const auto* one : standing_) {
    if (one->episode && one->episode->alert.is_active())
      active_[static_cast<std::size_t>(one->episode->alert.severity)] += 1;
  }
}

}  // namespace wattd::rules
