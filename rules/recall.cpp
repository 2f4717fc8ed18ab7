// How rules come to stand where they would if the gateway had never stopped, nor its clock been set.
#include <algorithm>

#include "rules/engine.h"
#include "rules/instance.h"

namespace wattd::rules {
namespace {

using namespace std::chrono_literals;

constexpr auto kStep = 1s;       // of the wall clock; what is less is its going faster or slower
constexpr auto kGrace = 30s;     // for a device to speak up after the gateway's start
constexpr auto kBefore = 20min;  // of an interval: it counts from the last reading before it

bool looks_at_several(const Rule& rule) {
  return rule.is_total ||
         std::ranges::any_of(rule.conditions, [](const Condition& one) { return !one.device.empty(); });
}

}  // namespace

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

/// What is to be read of a device for the rules and windows that are new.
struct Engine::Wanted {
  std::vector<std::string> fields;
  std::chrono::microseconds back{0};
  bool is_joined = false;  ///< With what other devices said at the same time.
};

/// How far back a condition has to look to stand where it would if it had been there all along.
std::chrono::microseconds Engine::memory_of(const Watch& watch, const Feed& feed) const {
  const auto& rule = *watch.instance->rule;
  const auto& condition = rule.conditions[watch.condition];
  const bool is_new = watch.instance->is_new;
  std::chrono::microseconds back{0};
  if (has_window(condition.kind) && (feed.is_window_new || is_new)) back = condition.window;
  if (!is_new) return back;
  back += rule.hold;
  if (is_interval(condition.kind)) back += condition.window + kBefore;
  if (rule.conditions.size() > 1 || condition.kind == ConditionKind::deviation) back = std::max(back, options_.late);
  return back;
}

Engine::Wanted Engine::wanted_of(const Watched& watched, const std::string& id, History& history) const {
  Wanted wanted;
  for (const auto& feed : watched.feeds) {
    std::chrono::microseconds back{0};
    for (const auto& watch : feed.watches) {
      if (watch.instance->rule->conditions[watch.condition].kind == ConditionKind::no_data) continue;
      back = std::max(back, memory_of(watch, feed));
      wanted.is_joined = wanted.is_joined || (watch.instance->is_new && looks_at_several(*watch.instance->rule));
    }
    if (back == 0us) continue;
    wanted.back = std::max(wanted.back, back);
    for (auto& field : history.fields_of(id, feed.property)) {
      if (std::ranges::find(wanted.fields, field) == wanted.fields.end()) wanted.fields.push_back(std::move(field));
    }
  }
  return wanted;
}

/// When the device and its properties said something last, for conditions that wait for it and are new.
void Engine::recall_words(Watched& watched, const std::string& id, History& history, Moment moment) const {
  const auto is_missed = [](const Watch& watch) {
    return watch.instance->is_new && watch.instance->rule->conditions[watch.condition].kind == ConditionKind::no_data;
  };
  const auto ago = [&](std::optional<Timestamp> seen) -> std::optional<Instant> {
    if (!seen || *seen > moment.now) return std::nullopt;
    return moment.mono - (moment.now - *seen);
  };
  if (std::ranges::any_of(watched.any, is_missed)) {
    if (const auto seen = ago(history.last_seen(id, ""))) watched.arrived = std::min(watched.arrived, *seen);
  }
  for (auto& feed : watched.feeds) {
    if (!std::exchange(feed.is_new, false) || std::ranges::none_of(feed.watches, is_missed)) continue;
    if (const auto seen = ago(history.last_seen(id, feed.property))) feed.arrived = std::min(feed.arrived, *seen);
  }
}

/// However long nobody was here to listen, whoever speaks up soon was not silent.
void Engine::expect_words(const Watched& watched, const std::string& id, Moment moment) {
  const auto expect = [&](const Watch& watch, Instant arrived) {
    const auto& condition = watch.instance->rule->conditions[watch.condition];
    if (condition.kind != ConditionKind::no_data || !may_be_missed(watch, id)) return;
    const auto grace = std::min<std::chrono::microseconds>(condition.window, kGrace);
    auto due = arrived + condition.window;
    if (watch.instance->is_new) due = std::max(due, moment.mono + grace);
    silent_->push({due, id, watch});
  };
  for (const auto& watch : watched.any) expect(watch, watched.arrived);
  for (const auto& feed : watched.feeds) {
    for (const auto& watch : feed.watches) expect(watch, feed.arrived);
  }
}

/// Takes a stored reading as if it came at its time.
void Engine::recall(Watched& watched, const Reading& stored, Moment moment) {
  const Moment then{stored.at, std::min(moment.mono, moment.mono - (moment.now - stored.at))};
  for (const auto& place : plan_of(watched, stored).entries) {
    const auto number = judged_as(stored.fields[place.field].value);
    if (number) feed(watched.feeds[place.feed], *number, {stored.at, then, false, true});
  }
}

/// What several devices said has to come in the order in which they said it; in parts, for there may be much of it.
void Engine::recall_joined(const std::map<std::string, Wanted>& joined, History& history, Moment moment) {
  std::chrono::microseconds back{0};
  for (const auto& [id, wanted] : joined) back = std::max(back, wanted.back);
  const auto part = std::max<std::chrono::microseconds>(10min, back / 12);
  const auto end = moment.now + 1h;
  for (auto from = moment.now - back; from < end; from += part) {
    std::vector<Reading> readings;
    for (const auto& [id, wanted] : joined) {
      const TimeRange range{std::max(from, moment.now - wanted.back), std::min(from + part, end)};
      if (range.from >= range.to) continue;
      history.visit(id, wanted.fields, range, [&](const Reading& stored) {
        readings.push_back(stored);
        readings.back().device_id = id;
      });
    }
    std::ranges::stable_sort(readings, {}, &Reading::at);
    for (const auto& stored : readings) recall(*devices_.at(stored.device_id), stored, moment);
  }
}

void Engine::recall(History& history, Moment moment) {
  *silent_ = {};
  std::map<std::string, Wanted> joined;
  for (auto& [id, watched] : devices_) {
    auto wanted = wanted_of(*watched, id, history);
    recall_words(*watched, id, history, moment);
    if (wanted.fields.empty()) continue;
    if (wanted.is_joined) {
      joined.emplace(id, std::move(wanted));
      continue;
    }
    history.visit(id, wanted.fields, {moment.now - wanted.back, moment.now + 1h},
                  [&](const Reading& stored) { recall(*watched, stored, moment); });
  }
  if (!joined.empty()) recall_joined(joined, history, moment);
  for (auto& [id, watched] : devices_) {
    for (auto& feed : watched->feeds) feed.is_window_new = false;
    expect_words(*watched, id, moment);
  }
  for (auto& [key, one] : instances_) one->is_new = false;
  wants_recall_ = false;
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

}  // namespace wattd::rules
