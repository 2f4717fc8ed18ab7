// What a sample says to the conditions that look at it.
#include <algorithm>
#include <cmath>

#include "rules/instance.h"

namespace wattd::rules {
namespace {

using namespace std::chrono_literals;
using Kind = ConditionKind;

/// What a sliding window says; nothing while it has not been watched for its whole length, where that matters.
std::optional<double> measure(const Condition& condition, const Window& window) {
  const auto all = window.over(condition.window, *window.newest());
  const bool is_partial = !window.covers(condition.window);
  switch (condition.kind) {
    case Kind::minimum: return all.min;
    case Kind::maximum: return all.max;
    case Kind::average: return is_partial ? std::nullopt : std::optional(all.sum / static_cast<double>(all.count));
    case Kind::sum: return is_partial ? std::nullopt : std::optional(all.sum);
    case Kind::count: return is_partial ? std::nullopt : std::optional(static_cast<double>(all.count));
    case Kind::rate: {
      const double minutes = std::chrono::duration<double, std::ratio<60>>(all.last_at - all.first_at).count();
      return minutes <= 0 ? std::nullopt : std::optional((all.last - all.first) / minutes);
    }
    default: return std::nullopt;
  }
}

/// How far the value is from what was expected, once both are known for about the same time.
std::optional<double> deviation(const Condition& condition, const Pair& state) {
  if (!state.compared_at || !state.expected_at) return std::nullopt;
  const auto apart = *state.compared_at - *state.expected_at;
  if (apart > condition.window || -apart > condition.window) return std::nullopt;
  const double far = std::fabs(state.compared - state.expected);
  if (!condition.is_relative) return far;
  return state.expected == 0 ? std::nullopt : std::optional(100 * far / std::fabs(state.expected));
}

}  // namespace

void Engine::feed(Feed& feed, double value, const Arrival& arrival) {
  if (!std::isfinite(value)) return;
  auto here = arrival;
  const bool is_news = !feed.newest || arrival.at > *feed.newest;
  // To those that recall it, what is stored comes in order.
  if (!is_news && !arrival.is_recalled)
    here.order = arrival.at == *feed.newest ? Arrival::Order::again : Arrival::Order::past;
  if (is_news) feed.newest = arrival.at;
  if (feed.window) feed.window->add(arrival.at, value);
  if (!arrival.is_late && !arrival.is_recalled) feed.arrived = arrival.moment.mono;
  for (const auto& watch : feed.watches) {
    if (arrival.is_recalled && !watch.instance->is_new) continue;
    look(watch, feed, value, here);
  }
}

void Engine::look(const Watch& watch, Feed& feed, double value, const Arrival& arrival) {
  auto& instance = *watch.instance;
  const auto& condition = instance.rule->conditions[watch.condition];
  auto& state = instance.conditions[watch.condition];
  const bool is_past = arrival.order == Arrival::Order::past;
  ++evaluations_;
  if (condition.kind == Kind::threshold) [[likely]] {
    if (!is_past) {
      // Nearly every reading: it was not met, and is not.
      if (!state.is_met && state.at && !holds(value, condition.comparison, condition.threshold)) [[likely]] {
        state.actual = value, state.at = arrival.at, state.fresh = arrival.moment.mono;
        if (!(instance.troubles && instance.troubles->past) && instance.rule->conditions.size() == 1) return;
      }
      return conclude(instance, watch.condition, value, arrival);
    }
    const bool is_simple = instance.conditions.size() == 1 && instance.rule->hold == 0us;
    if (!is_simple || arrival.is_recalled || instance.episode) return;
    instance.own_troubles().past_value = value;
    if (!std::exchange(instance.is_touched, true)) touched_.push_back(&instance);
    return;
  }
  switch (condition.kind) {
    case Kind::no_data:
      if (!arrival.is_late && !arrival.is_recalled) conclude(instance, watch.condition, std::nullopt, arrival);
      return;
    case Kind::energy:
    case Kind::demand_forecast: {
      auto& part = state.interval->parts()[watch.part];
      if (is_past) return;
      const auto ended =
          condition.kind == Kind::energy ? state.interval->end_before(calendar_, arrival.at) : std::nullopt;
      part.take({arrival.at, value});
      if (condition.kind == Kind::demand_forecast)
        return conclude(instance, watch.condition, state.interval->forecast(calendar_, arrival.at), arrival);
      // The reading that begins an interval says what the one before it came to.
      const auto whole = ended ? std::optional(state.interval->energy(calendar_, *ended)) : std::nullopt;
      const auto begun = state.interval->energy(calendar_, arrival.at);
      const bool tells = whole && holds(*whole, condition.comparison, condition.threshold);
      return conclude(instance, watch.condition, tells ? *whole : begun, arrival);
    }
    case Kind::deviation:
      if (is_past) return;
      if (!state.pair) state.pair = std::make_unique<Pair>();
      (watch.is_reference ? state.pair->expected : state.pair->compared) = value;
      (watch.is_reference ? state.pair->expected_at : state.pair->compared_at) = arrival.at;
      return conclude(instance, watch.condition, deviation(condition, *state.pair), arrival);
    default: return conclude(instance, watch.condition, measure(condition, *feed.window), arrival);
  }
}

/// Notes what a condition has come to; an unknown value, or data where silence was the matter, does not meet it.
void Engine::conclude(Instance& instance, std::size_t which, std::optional<double> actual, const Arrival& arrival) {
  const auto& condition = instance.rule->conditions[which];
  auto& state = instance.conditions[which];
  const bool was_met = state.is_met;
  const bool is_first = !state.at;
  const double bound = was_met && condition.clear ? *condition.clear : condition.threshold;
  state.is_met = actual && holds(*actual, condition.comparison, bound);
  if (actual) state.actual = *actual;
  state.at = state.at ? std::max(*state.at, arrival.at) : arrival.at;
  state.fresh = arrival.moment.mono;
  if (condition.kind == ConditionKind::no_data && was_met)
    silent_->push({arrival.moment.mono + condition.window,
                   condition.device.empty() ? instance.device_id : condition.device,
                   {&instance, static_cast<std::uint16_t>(which)}});
  if (arrival.is_recalled) {
    // How long it has been met is remembered; what became of it, the alert knows.
    if (!is_met(instance, arrival.moment.mono)) instance.met_since.reset();
    else if (!instance.met_since) instance.met_since = arrival.at;
    return;
  }
  const bool matters = state.is_met || was_met || is_first || instance.episode || instance.met_since;
  if (matters && !std::exchange(instance.is_touched, true)) touched_.push_back(&instance);
}

bool Engine::is_judged_at(const Rule& rule, Timestamp at) const {
  if (!rule.hours) return true;
  const auto wall = calendar_.wall_at(at);
  return rule.hours->hold(wall.weekday, wall.minute) != rule.is_outside_hours;
}

bool Engine::is_met(const Instance& instance, Instant mono) const {
  const auto& conditions = instance.conditions;
  if (conditions.size() == 1) return conditions[0].is_met;
  // What one device said long ago says nothing about now.
  const auto holds_now = [&](const ConditionState& one) {
    const auto kind = instance.rule->conditions[static_cast<std::size_t>(&one - conditions.data())].kind;
    return one.is_met && (kind == ConditionKind::no_data || mono - one.fresh <= options_.late);
  };
  return instance.rule->needs_all ? std::ranges::all_of(conditions, holds_now)
                                  : std::ranges::any_of(conditions, holds_now);
}

/// Silences that have become too long.
void Engine::note_silences(Moment moment, Verdict& verdict) {
  while (!silent_->empty() && silent_->top().due <= moment.mono) {
    auto silent = silent_->top();
    silent_->pop();
    auto& instance = *silent.watch.instance;
    const auto& condition = instance.rule->conditions[silent.watch.condition];
    const auto& watched = *devices_.at(silent.device_id);
    auto arrived = watched.arrived;
    if (!condition.property.empty()) {
      const auto feed = std::ranges::find(watched.feeds, condition.property, &Feed::property);
      if (feed != watched.feeds.end()) arrived = feed->arrived;
    }
    auto& state = instance.conditions[silent.watch.condition];
    if (state.is_met) continue;
    if (arrived + condition.window > moment.mono) {
      silent_->push({arrived + condition.window, silent.device_id, silent.watch});
      continue;
    }
    const auto silence = moment.mono - arrived;
    state.is_met = true;
    state.actual = std::chrono::duration<double>(silence).count();
    state.at = moment.now;
    settle(instance, {moment.now, moment}, verdict);
    if (!instance.episode) muted_.push_back(&instance);
  }
}

}  // namespace wattd::rules
