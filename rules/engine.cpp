// Which rule looks at what: instances, feeds and plans. What samples say is in conditions.cpp, what becomes of alerts
// in episodes.cpp.
#include "rules/engine.h"

#include <algorithm>
#include <set>

#include "rules/instance.h"
#include "telemetry/measurand.h"
#include "telemetry/meter_tree.h"

namespace wattd::rules {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostPlans = 8;
constexpr auto kStep = 1s;    // of the wall clock; what is less is its going faster or slower
constexpr auto kGrace = 30s;  // for a device to speak up after the gateway's start

bool is_interval(ConditionKind kind) { return kind == ConditionKind::energy || kind == ConditionKind::demand_forecast; }
bool has_window(ConditionKind kind) { return kind >= ConditionKind::average && kind <= ConditionKind::rate; }

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
    if (is_interval(condition.kind) && one.conditions[c].interval->parts().empty())
      one.conditions[c].interval->parts().push_back(part_of(on, condition.property, 1));
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

IntervalPart Engine::part_of(const std::string& device_id, const std::string& property, int sign) const {
  const auto facts = facts_of_ ? facts_of_(device_id, property) : std::nullopt;
  const auto measurand = find_measurand(facts && !facts->measurand.empty() ? facts->measurand : property);
  return {!measurand || measurand->counter, facts ? facts->counter : CounterRules{}, sign};
}

void Engine::attach_totals() {
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const auto& rule = rules_[i];
    if (!rule.is_total || rule.status != RuleStatus::active) continue;
    const auto terms = terms_of_building(rule.scope_name, known_);
    if (!terms) continue;  // no meter yet
    auto& one = instance(i, rule.scope_name);
    for (std::size_t c = 0; c < rule.conditions.size(); ++c) {
      auto& parts = one.conditions[c].interval->parts();
      if (parts.size() != terms->size()) parts.clear(), one.is_new = true;
      const bool begins = parts.empty();
      for (std::size_t t = 0; t < terms->size(); ++t) {
        const auto& [meter, sign] = (*terms)[t];
        const auto& property = rule.conditions[c].property;
        if (begins) parts.push_back(part_of(meter, property, sign));
        watch(device(meter), property, {&one, static_cast<std::uint16_t>(c), static_cast<std::uint16_t>(t)});
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

std::vector<Alert> Engine::restore(const std::vector<Alert>& latest, Moment moment) {
  std::map<Key, std::unique_ptr<Instance>> gone;
  for (const auto& alert : latest) {
    const auto found = instances_.find({alert.rule_id, alert.device_id});
    auto episode = std::make_unique<Episode>();
    episode->alert = alert;
    episode->since = alert.created_at;
    episode->saved_at = alert.last_seen_at;
    episode->first_at = std::min(alert.created_at, alert.last_seen_at);
    episode->is_noticed = alert.notified_at.has_value();
    if (alert.notified_at || alert.escalated_at) episode->told = told_of(alert);
    if (found == instances_.end()) {
      if (!alert.stands) continue;
      auto orphan = std::make_unique<Instance>();
      orphan->episode = std::move(episode);
      gone[{alert.rule_id, alert.device_id}] = std::move(orphan);
      continue;
    }
    auto& one = *found->second;
    if (alert.notified_at) {
      auto& noticed_at = one.own_troubles().noticed_at;
      noticed_at = std::max(noticed_at.value_or(*alert.notified_at), *alert.notified_at);
    }
    if (!alert.stands) {
      one.own_troubles().episodes.push_back({episode->first_at, alert.last_seen_at});
      continue;
    }
    one.episode = std::move(episode);
    one.conditions[0].is_met = true;
    standing_.push_back(&one);
  }
  return resolve_orphans(std::move(gone), moment);
}

void Engine::recall(History& history, Moment moment) {
  struct Wanted {
    std::vector<std::string> fields;
    std::chrono::microseconds back{0};
    bool asks_silence = false;
  };
  std::map<std::string, Wanted> wanted;
  for (auto& [id, watched] : devices_) {
    auto& one = wanted[id];
    const auto note = [&](const Watch& watch, const Feed* feed) {
      const auto& rule = *watch.instance->rule;
      const auto& condition = rule.conditions[watch.condition];
      if (condition.kind == ConditionKind::no_data) {
        one.asks_silence = one.asks_silence || watch.instance->is_new;
        return;
      }
      std::chrono::microseconds back{0};
      if (has_window(condition.kind) && (feed->is_window_new || watch.instance->is_new)) back = condition.window;
      if (watch.instance->is_new) {
        back += rule.hold;
        if (is_interval(condition.kind)) back += condition.window;
        if (rule.conditions.size() > 1 || condition.kind == ConditionKind::deviation)
          back = std::max(back, options_.late);
      }
      if (back == 0us) return;
      one.back = std::max(one.back, back);
      for (auto& field : history.fields_of(id, feed->property)) {
        if (std::ranges::find(one.fields, field) == one.fields.end()) one.fields.push_back(std::move(field));
      }
    };
    for (const auto& watch : watched->any) note(watch, nullptr);
    for (const auto& feed : watched->feeds) {
      for (const auto& watch : feed.watches) note(watch, &feed);
    }
  }
  for (auto& [id, one] : wanted) {
    auto& watched = *devices_.at(id);
    if (one.asks_silence) {
      if (const auto seen = history.last_seen(id); seen && *seen <= moment.now)
        watched.arrived = std::min(watched.arrived, moment.mono - (moment.now - *seen));
    }
    if (one.fields.empty()) continue;
    const auto newest_before = moment.now - one.back;
    history.visit(id, one.fields, {newest_before, moment.now + 1h}, [&](const Reading& stored) {
      for (const auto& entry : plan_of(watched, stored).entries) {
        const auto number = as_number(stored.fields[entry.field].value);
        if (number) feed(watched.feeds[entry.feed], *number, {stored.at, moment, false, true});
      }
    });
  }
  // However long nobody was here to listen, whoever speaks up soon was not silent.
  *silent_ = {};
  for (auto& [id, watched] : devices_) {
    const auto note = [&](const Watch& watch) {
      const auto& condition = watch.instance->rule->conditions[watch.condition];
      if (condition.kind != ConditionKind::no_data || !may_be_missed(watch, id)) return;
      const auto grace = std::min<std::chrono::microseconds>(condition.window, kGrace);
      auto due = watched->arrived + condition.window;
      if (watch.instance->is_new) due = std::max(due, moment.mono + grace);
      silent_->push({due, id, watch});
    };
    for (const auto& watch : watched->any) note(watch);
    for (auto& feed : watched->feeds) {
      feed.arrived = std::max(feed.arrived, watched->arrived);
      feed.is_window_new = false;
      for (const auto& watch : feed.watches) note(watch);
    }
  }
  for (auto& [key, one] : instances_) one->is_new = false;
}

/// Whether the wall clock was set. What it said of our own doings is moved along with it; what it stamped that lies in
/// the future now was never so, and must not make what is read next look old.
void Engine::follow_clock(Moment moment) {
  const std::chrono::nanoseconds offset = moment.now.time_since_epoch() - moment.mono.time_since_epoch();
  const auto step =
      std::chrono::floor<std::chrono::microseconds>(offset - std::exchange(offset_, offset).value_or(offset));
  if (step < kStep && step > -kStep) return;
  for (auto& [key, one] : instances_) {
    if (one->troubles) one->troubles->episodes.clear();  // their stamps may come anew, and be other readings
    if (one->troubles && one->troubles->noticed_at) *one->troubles->noticed_at += step;
    if (one->met_since) *one->met_since += step;
    for (auto& state : one->conditions) {
      if (state.at && *state.at > moment.now) state.at = moment.now;
      if (state.pair && (state.pair->compared_at > moment.now || state.pair->expected_at > moment.now))
        state.pair.reset();
      if (state.interval) state.interval->begin_again(moment.now);
    }
    if (!one->episode) continue;
    one->episode->since += step, one->episode->saved_at += step;
    auto& seen = one->episode->alert.last_seen_at;
    seen = std::min(seen, moment.now);
  }
  if (step > 0us) return;
  for (auto& [id, watched] : devices_) {
    for (auto& feed : watched->feeds) {
      if (feed.newest && *feed.newest > moment.now) feed.newest.reset();
      if (feed.window) feed.window->forget_after(moment.now);
    }
  }
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
    const auto number = as_number(reading.fields[entry.field].value);
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
