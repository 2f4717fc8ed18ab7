// How rules come to stand where they would if the gateway had never stopped, nor its clock been set.
#include <algorithm>

#include "rules/engine.h"
#include "rules/instance.h"

namespace wattd::rules {
namespace {

using namespace std::chrono_literals;

constexpr auto kStep = 1s;    // of the wall clock; what is less is its going faster or slower
constexpr auto kGrace = 30s;  // for a device to speak up after the gateway's start

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
  bool asks_silence = false;
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
  if (is_interval(condition.kind)) back += condition.window;
  if (rule.conditions.size() > 1 || condition.kind == ConditionKind::deviation) back = std::max(back, options_.late);
  return back;
}

Engine::Wanted Engine::wanted_of(const Watched& watched, const std::string& id, History& history) const {
  Wanted wanted;
  const auto asks_silence = [](const Watch& watch) {
    const auto kind = watch.instance->rule->conditions[watch.condition].kind;
    return kind == ConditionKind::no_data && watch.instance->is_new;
  };
  wanted.asks_silence = std::ranges::any_of(watched.any, asks_silence);
  for (const auto& feed : watched.feeds) {
    std::chrono::microseconds back{0};
    for (const auto& watch : feed.watches) {
      if (watch.instance->rule->conditions[watch.condition].kind != ConditionKind::no_data)
        back = std::max(back, memory_of(watch, feed));
      else if (asks_silence(watch)) wanted.asks_silence = true;
    }
    if (back == 0us) continue;
    wanted.back = std::max(wanted.back, back);
    for (auto& field : history.fields_of(id, feed.property)) {
      if (std::ranges::find(wanted.fields, field) == wanted.fields.end()) wanted.fields.push_back(std::move(field));
    }
  }
  return wanted;
}

/// However long nobody was here to listen, whoever speaks up soon was not silent.
void Engine::expect_words(Watched& watched, const std::string& id, Moment moment) {
  const auto expect = [&](const Watch& watch) {
    const auto& condition = watch.instance->rule->conditions[watch.condition];
    if (condition.kind != ConditionKind::no_data || !may_be_missed(watch, id)) return;
    const auto grace = std::min<std::chrono::microseconds>(condition.window, kGrace);
    auto due = watched.arrived + condition.window;
    if (watch.instance->is_new) due = std::max(due, moment.mono + grace);
    silent_->push({due, id, watch});
  };
  for (const auto& watch : watched.any) expect(watch);
  for (auto& feed : watched.feeds) {
    feed.arrived = std::max(feed.arrived, watched.arrived);
    feed.is_window_new = false;
    for (const auto& watch : feed.watches) expect(watch);
  }
}

void Engine::recall(History& history, Moment moment) {
  *silent_ = {};
  for (auto& [id, entry] : devices_) {
    auto& watched = *entry;
    const auto wanted = wanted_of(watched, id, history);
    if (wanted.asks_silence) {
      if (const auto seen = history.last_seen(id); seen && *seen <= moment.now)
        watched.arrived = std::min(watched.arrived, moment.mono - (moment.now - *seen));
    }
    if (!wanted.fields.empty()) {
      history.visit(id, wanted.fields, {moment.now - wanted.back, moment.now + 1h}, [&](const Reading& stored) {
        for (const auto& place : plan_of(watched, stored).entries) {
          const auto number = as_number(stored.fields[place.field].value);
          if (number) feed(watched.feeds[place.feed], *number, {stored.at, moment, false, true});
        }
      });
    }
    expect_words(watched, id, moment);
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
