// What an alert goes through: raised, counted, escalated, silenced, resolved.
#include <fmt/format.h>

#include <algorithm>

#include "rules/instance.h"
#include "telemetry/identity.h"

namespace wattd::rules {
namespace {

using namespace std::chrono_literals;
using Kind = ConditionKind;

// While an alert stands, its count and last value are saved this often; the state itself at every change.
constexpr auto kSaveEvery = 10s;
constexpr auto kTick = 500ms;
constexpr std::size_t kRemembered = 32;  // episodes of a rule on a device

/// `average of power_total over 15 min`, or just the property.
std::string describe(const Condition& condition) {
  const auto window = format_duration(condition.window);
  switch (condition.kind) {
    case Kind::threshold:
    case Kind::no_data: return condition.property;
    case Kind::rate: return fmt::format("rise of {} a minute, over {},", condition.property, window);
    case Kind::energy: return fmt::format("energy by {} within {}", condition.property, window);
    case Kind::demand_forecast:
      return fmt::format("demand by {}, forecast for the end of {},", condition.property, window);
    case Kind::deviation:
      return fmt::format("deviation of {} from {}{}", condition.property, condition.reference,
                         condition.is_relative ? " in %" : "");
    default: return fmt::format("{} of {} over {}", to_string(condition.kind), condition.property, window);
  }
}

/// Whether a reading of that stamp was part of an episode that is over: it has come once more.
bool was_judged(Timestamp at, const std::vector<TimeRange>& episodes) {
  return std::ranges::any_of(episodes, [&](const TimeRange& one) { return at >= one.from && at <= one.to; });
}

void remember(TimeRange episode, std::vector<TimeRange>& episodes) {
  if (episodes.size() >= kRemembered) episodes.erase(episodes.begin());
  episodes.push_back(episode);
}

const char* unit_of(Kind kind) { return kind == Kind::energy ? " kWh" : kind == Kind::demand_forecast ? " kW" : ""; }

}  // namespace

/// Which condition an alert speaks of: with several, the first that is met.
std::size_t Engine::telling(const Instance& instance) {
  for (std::size_t i = 0; i < instance.conditions.size(); ++i) {
    if (instance.conditions[i].is_met) return i;
  }
  return 0;
}

std::string Engine::message_of(const Instance& instance, std::size_t which, double actual) {
  const auto& rule = *instance.rule;
  const auto& condition = rule.conditions[which];
  const auto& device = condition.device.empty() ? instance.device_id : condition.device;
  auto text = fmt::format("Alert: {} - Device {} ", rule.name, device);
  if (condition.kind == Kind::no_data) {
    text += fmt::format("has said nothing{} for {} (threshold: {})",
                        condition.property.empty() ? "" : " of " + condition.property,
                        format_duration(std::chrono::microseconds{static_cast<std::int64_t>(actual * 1e6)}),
                        format_duration(condition.window));
  } else {
    const auto* unit = unit_of(condition.kind);
    text += fmt::format("{} is {:.2f}{} (threshold: {} {:.2f}{})", describe(condition), actual, unit,
                        to_string(condition.comparison), condition.threshold, unit);
  }
  if (rule.conditions.size() > 1)
    text += fmt::format(" and {} of {} conditions", rule.needs_all ? "all" : "any", rule.conditions.size());
  return text;
}

Alert Engine::alert_of(const Instance& instance, std::size_t which, double actual, const Arrival& arrival) {
  const auto& rule = *instance.rule;
  return {.id = random_uuid(),
          .rule_id = rule.id,
          .tenant = rule.tenant,
          .device_id = instance.device_id,
          .severity = rule.severity,
          .message = message_of(instance, which, actual),
          .actual_value = actual,
          .threshold_value = rule.conditions[which].threshold,
          .last_value = actual,
          .created_at = arrival.moment.now,
          .last_seen_at = arrival.at,
          .is_late = arrival.is_late};
}

bool Engine::is_silenced(const Rule& rule, const std::string& device_id, Timestamp at) const {
  return std::ranges::any_of(silences_, [&](const Silence& one) { return one.covers(rule.id, device_id, at); });
}

void Engine::save(Instance& instance, Moment moment, Verdict& verdict) {
  instance.episode->saved_at = moment.now;
  verdict.changed.push_back(instance.episode->alert);
}

void Engine::settle(Instance& instance, const Arrival& arrival, Verdict& verdict) {
  instance.is_touched = false;
  if (instance.troubles) {
    if (const auto value = std::exchange(instance.troubles->past_value, {}); value)
      return note_past(instance, *value, arrival, verdict);
    instance.troubles->past.reset();
  }
  if (!is_met(instance, arrival.moment.mono) || !is_judged_at(*instance.rule, arrival.at)) {
    instance.met_since.reset();
    if (instance.episode) end(instance, arrival.moment, verdict);
    return;
  }
  if (!instance.met_since || arrival.at < *instance.met_since) instance.met_since = arrival.at;
  if (instance.episode) return count(instance, arrival, verdict);
  if (arrival.at - *instance.met_since < instance.rule->hold) return;
  if (!instance.troubles || !was_judged(arrival.at, instance.troubles->episodes)) raise(instance, arrival, verdict);
}

void Engine::raise(Instance& instance, const Arrival& arrival, Verdict& verdict) {
  const auto& rule = *instance.rule;
  const auto which = telling(instance);
  instance.episode = std::make_unique<Episode>();
  auto& alert = instance.episode->alert;
  instance.episode->since = arrival.moment.now;
  instance.episode->first_at = instance.met_since.value_or(arrival.at);
  alert = alert_of(instance, which, instance.conditions[which].actual, arrival);
  standing_.push_back(&instance);
  auto& raises = instance.own_troubles().raises;
  raises.push_back(arrival.moment.mono);
  if (raises.size() > std::max<std::size_t>(options_.flaps, 1)) raises.erase(raises.begin());
  if (is_silenced(rule, instance.device_id, arrival.moment.now)) alert.status = AlertStatus::suppressed;
  tell_if_due(instance, arrival.moment, verdict);
  save(instance, arrival.moment, verdict);
  count_active();
  verdict.raised += 1;
  verdict.urgent = true;
}

/// Tells of an alert that stands, unless it is late, silenced, told already, or the cooldown holds it back.
void Engine::tell_if_due(Instance& instance, Moment moment, Verdict& verdict) {
  auto& episode = *instance.episode;
  if (episode.is_noticed || episode.alert.is_late || episode.alert.status != AlertStatus::open) return;
  auto& noticed_at = instance.own_troubles().noticed_at;
  if (noticed_at && moment.now - *noticed_at < instance.rule->cooldown && moment.now >= *noticed_at) return;
  episode.is_noticed = true;
  noticed_at = episode.alert.notified_at = moment.now;
  tell(instance, "raised", instance.rule->channels, verdict);
}

std::vector<std::string> Engine::told_of(const Alert& alert) const {
  const auto rule = std::ranges::find(rules_, alert.rule_id, &Rule::id);
  if (rule == rules_.end()) return {};
  auto channels = alert.notified_at ? rule->channels : std::vector<std::string>{};
  if (alert.escalated_at) channels.insert(channels.end(), rule->escalate_to.begin(), rule->escalate_to.end());
  return channels;
}

void Engine::tell(const Instance& instance, const char* event, const std::vector<std::string>& channels,
                  Verdict& verdict) {
  for (const auto& channel : channels) {
    verdict.notices.push_back({instance.episode->alert.id, channel, event});
    auto& told = instance.episode->told;
    if (std::ranges::find(told, channel) == told.end()) told.push_back(channel);
  }
}

void Engine::count(Instance& instance, const Arrival& arrival, Verdict& verdict) {
  auto& episode = *instance.episode;
  auto& alert = episode.alert;
  if (arrival.order == Arrival::Order::newest && arrival.at > alert.last_seen_at) alert.count += 1;
  alert.last_value = instance.conditions[telling(instance)].actual;
  alert.last_seen_at = std::max(alert.last_seen_at, arrival.at);
  episode.quiet_since.reset();
  if (alert.is_late && !arrival.is_late) {
    // It goes on: what came too late to tell anybody has become something that holds now.
    alert.is_late = false;
    tell_if_due(instance, arrival.moment, verdict);
    verdict.urgent = true;
    return save(instance, arrival.moment, verdict);
  }
  if (arrival.moment.now - episode.saved_at >= kSaveEvery) save(instance, arrival.moment, verdict);
}

/// A reading from before others that were judged already: it has met the rule, and is over.
void Engine::note_past(Instance& instance, double actual, const Arrival& arrival, Verdict& verdict) {
  const auto& condition = instance.rule->conditions[0];
  auto& [noticed_at, raises, episodes, past, past_value] = instance.own_troubles();
  if (!holds(actual, condition.comparison, condition.threshold) || !is_judged_at(*instance.rule, arrival.at)) {
    past.reset();
    return;
  }
  if (was_judged(arrival.at, episodes)) return;
  remember({arrival.at, arrival.at}, episodes);
  const bool is_new = !past;
  if (is_new) {
    past = std::make_unique<Episode>();
    auto& alert = past->alert;
    alert = alert_of(instance, 0, actual, arrival);
    alert.message += fmt::format(", at {}", format_iso8601(arrival.at));
    alert.status = AlertStatus::resolved;
    alert.resolved_at = arrival.moment.now;
    alert.stands = false;
    verdict.raised += 1;
    verdict.urgent = true;
  }
  auto& alert = past->alert;
  if (!is_new) alert.count += 1, alert.last_value = actual, alert.last_seen_at = arrival.at;
  alert.is_late = alert.is_late && arrival.is_late;
  const auto now = arrival.moment.now;
  const bool is_cool = !noticed_at || now - *noticed_at >= instance.rule->cooldown;
  if (!alert.is_late && !alert.notified_at && is_cool && !is_silenced(*instance.rule, instance.device_id, now)) {
    noticed_at = alert.notified_at = now;
    for (const auto& channel : instance.rule->channels) verdict.notices.push_back({alert.id, channel, "raised"});
  }
  verdict.changed.push_back(alert);
}

/// The rule is met no more. An alert that comes and goes stands until that has ended, too.
void Engine::end(Instance& instance, Moment moment, Verdict& verdict) {
  auto& episode = *instance.episode;
  if (episode.quiet_since) return;
  const auto& raises = instance.own_troubles().raises;
  const bool flaps =
      options_.flaps > 1 && raises.size() >= options_.flaps && moment.mono - raises.front() < options_.flap_time;
  if (flaps && episode.alert.is_active()) {
    episode.quiet_since = moment.mono;
    episode.alert.is_flapping = true;
    return save(instance, moment, verdict);
  }
  resolve(instance, moment, verdict);
}

void Engine::resolve(Instance& instance, Moment moment, Verdict& verdict) {
  auto& episode = *instance.episode;
  auto& alert = episode.alert;
  alert.stands = false;
  if (alert.status != AlertStatus::resolved) {
    alert.status = AlertStatus::resolved;
    alert.resolved_at = moment.now;
    tell(instance, "resolved", std::vector(episode.told), verdict);
  }
  save(instance, moment, verdict);
  remember({episode.first_at, alert.last_seen_at}, instance.own_troubles().episodes);
  instance.episode.reset();
  std::erase(standing_, &instance);
  count_active();
}

/// What becomes of an alert that stands while time goes by.
void Engine::look_after(Instance& instance, Moment moment, Verdict& verdict) {
  const auto& rule = *instance.rule;
  auto& alert = instance.episode->alert;
  for (std::size_t i = 0; i < instance.conditions.size(); ++i) {
    auto& state = instance.conditions[i];
    // What an interval has counted ends with it, whether or not the meter says so.
    if (state.interval && state.is_met && state.at &&
        calendar_.slot_of(*state.at, std::chrono::duration_cast<std::chrono::minutes>(rule.conditions[i].window)).to <=
            moment.now)
      state.is_met = false;
  }
  // After a start, or a change of the rule, it stands until a reading has been judged.
  const bool has_spoken = std::ranges::any_of(instance.conditions, [](const auto& one) { return one.at.has_value(); });
  if (!is_judged_at(rule, moment.now) || (has_spoken && !is_met(instance, moment.mono))) {
    instance.met_since.reset();
    end(instance, moment, verdict);
    if (!instance.episode) return;
  }
  if (instance.episode->quiet_since && moment.mono - *instance.episode->quiet_since >= options_.flap_time)
    return resolve(instance, moment, verdict);
  const bool silenced = is_silenced(rule, instance.device_id, moment.now);
  const auto before = alert;
  if (silenced && alert.status == AlertStatus::open) alert.status = AlertStatus::suppressed;
  if (!silenced && alert.status == AlertStatus::suppressed) alert.status = AlertStatus::open;
  tell_if_due(instance, moment, verdict);
  if (rule.escalate_after > 0us && alert.status == AlertStatus::open && !alert.escalated_at && !alert.is_late &&
      moment.now - instance.episode->since >= rule.escalate_after) {
    alert.escalated_at = moment.now;
    tell(instance, "escalated", rule.escalate_to, verdict);
  }
  if (alert == before) return;
  verdict.urgent = true;
  save(instance, moment, verdict);
  count_active();
}

void Engine::tick(Moment moment, Verdict& verdict) {
  if (moment.mono - ticked_ < kTick) return;
  ticked_ = moment.mono;
  follow_clock(moment);
  note_silences(moment, verdict);
  // Who is silent says nothing that a rule could be judged by once it has held for long enough, or its hours have come.
  std::erase_if(muted_, [](const Instance* one) { return one->episode || !one->is_muted(); });
  for (auto* instance : std::vector(muted_)) settle(*instance, {moment.now, moment}, verdict);
  const auto standing = standing_;
  for (auto* instance : standing) look_after(*instance, moment, verdict);
}

}  // namespace wattd::rules
