#include "rules/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "telemetry/identity.h"

namespace wattd::rules {
namespace {

using namespace std::chrono_literals;

// While an alert stands, its count and last value are saved this often; the state itself at every change.
constexpr auto kSaveEvery = 10s;

const Field* find_property(const Reading& reading, const Schema* schema, const std::string& property) {
  if (const auto* field = reading.find(property)) return field;
  if (schema == nullptr) return nullptr;
  const auto named = std::ranges::find(schema->fields, property, &FieldRule::measurand);
  return named == schema->fields.end() ? nullptr : reading.find(named->name);
}

bool applies_to(const Rule& rule, const std::string& device_id) {
  if (rule.status != RuleStatus::active) return false;
  return rule.scope == RuleScope::all_devices || std::ranges::find(rule.device_ids, device_id) != rule.device_ids.end();
}

std::string message_for(const Rule& rule, const std::string& device_id, double actual) {
  return fmt::format("Alert: {} - Device {} {} is {:.2f} (threshold: {} {:.2f})", rule.name, device_id, rule.property,
                     actual, to_string(rule.condition), rule.threshold);
}

}  // namespace

std::vector<Alert> Engine::set_rules(std::vector<Rule> rules, Timestamp now) {
  rules_ = std::move(rules);
  devices_.clear();
  return resolve_orphans(now);
}

std::vector<Alert> Engine::restore(const std::vector<Alert>& active, Timestamp now) {
  for (const auto& alert : active) {
    states_[{alert.rule_id, alert.device_id}] = {.alert = alert,
                                                 .active = true,
                                                 .saved_at = alert.last_seen_at,
                                                 .last_notice = alert.created_at,
                                                 .noticed = true};
  }
  return resolve_orphans(now);
}

std::vector<Alert> Engine::resolve_orphans(Timestamp now) {
  std::vector<Alert> resolved;
  for (auto entry = states_.begin(); entry != states_.end();) {
    const auto rule = std::ranges::find(rules_, entry->first.first, &Rule::id);
    if (rule != rules_.end() && applies_to(*rule, entry->first.second)) {
      ++entry;
      continue;
    }
    auto& state = entry->second;
    if (state.active) {
      state.alert.status = AlertStatus::resolved;
      state.alert.resolved_at = now;
      resolved.push_back(state.alert);
    }
    entry = states_.erase(entry);
  }
  return resolved;
}

const Alert* Engine::find(const std::string& alert_id) const {
  for (const auto& [key, state] : states_) {
    if (state.active && state.alert.id == alert_id) return &state.alert;
  }
  return nullptr;
}

void Engine::replace(const Alert& alert) {
  const auto found = states_.find({alert.rule_id, alert.device_id});
  if (found == states_.end() || found->second.alert.id != alert.id) return;
  found->second.alert = alert;
  found->second.active = alert.status == AlertStatus::open || alert.status == AlertStatus::acknowledged;
}

Engine::Device& Engine::device(const std::string& id) {
  const auto [entry, is_new] = devices_.try_emplace(id);
  if (is_new) {
    for (std::size_t i = 0; i < rules_.size(); ++i) {
      if (applies_to(rules_[i], id)) entry->second.rules.push_back(i);
    }
  }
  return entry->second;
}

void Engine::raise(const Rule& rule, const Reading& reading, double actual, Timestamp now, State& state,
                   Verdict& verdict) {
  const auto last_notice = state.last_notice;
  state = {.alert = {.id = random_uuid(),
                     .rule_id = rule.id,
                     .tenant = rule.tenant,
                     .device_id = reading.device_id,
                     .severity = rule.severity,
                     .message = message_for(rule, reading.device_id, actual),
                     .actual_value = actual,
                     .threshold_value = rule.threshold,
                     .last_value = actual,
                     .created_at = now,
                     .last_seen_at = reading.at},
           .active = true,
           .saved_at = now,
           .last_notice = last_notice};
  if (now - last_notice >= rule.cooldown) {
    state.last_notice = now;
    state.noticed = true;
    for (const auto& channel : rule.channels) verdict.notices.push_back({state.alert.id, channel, "raised"});
  }
  verdict.changed.push_back(state.alert);
  verdict.urgent = true;
}

void Engine::resolve(const Rule& rule, Timestamp now, State& state, Verdict& verdict) {
  state.active = false;
  state.alert.status = AlertStatus::resolved;
  state.alert.resolved_at = now;
  if (state.noticed) {
    for (const auto& channel : rule.channels) verdict.notices.push_back({state.alert.id, channel, "resolved"});
  }
  verdict.changed.push_back(state.alert);
  verdict.urgent = true;
}

void Engine::judge(const Reading& reading, const Schema* schema, Timestamp now, Verdict& verdict) {
  auto& device = this->device(reading.device_id);
  if (reading.at < device.newest) return;
  device.newest = reading.at;
  for (const auto index : device.rules) {
    const auto& rule = rules_[index];
    const auto* field = find_property(reading, schema, rule.property);
    const auto actual = field == nullptr ? std::nullopt : as_number(field->value);
    if (!actual || std::isnan(*actual)) continue;
    ++evaluations_;
    const bool met = holds(*actual, rule.condition, rule.threshold);
    const auto known = states_.find({rule.id, reading.device_id});
    if (known == states_.end() && !met) continue;
    auto& state = known != states_.end() ? known->second : states_[{rule.id, reading.device_id}];
    if (met && !state.active) {
      raise(rule, reading, *actual, now, state, verdict);
    } else if (!met && state.active) {
      resolve(rule, now, state, verdict);
    } else if (met) {
      state.alert.count += 1;
      state.alert.last_value = *actual;
      state.alert.last_seen_at = reading.at;
      if (now - state.saved_at < kSaveEvery) continue;
      state.saved_at = now;
      verdict.changed.push_back(state.alert);
    }
  }
}

std::size_t Engine::active(Severity severity) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      states_, [&](const auto& entry) { return entry.second.active && entry.second.alert.severity == severity; }));
}

}  // namespace wattd::rules
