#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/time.h"

namespace wattd {

enum class Severity : std::uint8_t { low, medium, high, critical };
std::string_view to_string(Severity severity);

enum class Comparison : std::uint8_t { greater, less, greater_or_equal, less_or_equal, equal, not_equal };
/// `>`, `<`, `>=`, `<=`, `=` or `!=`.
std::string_view to_string(Comparison comparison);
bool holds(double actual, Comparison comparison, double threshold);

enum class RuleStatus : std::uint8_t { active, paused, archived };
std::string_view to_string(RuleStatus status);

enum class RuleScope : std::uint8_t { all_devices, selected_devices, building, device_type };
std::string_view to_string(RuleScope scope);

/// What a condition looks at.
enum class ConditionKind : std::uint8_t {
  threshold,  ///< The value as it was read.
  average,    ///< Over a sliding window, as the next five.
  minimum,
  maximum,
  sum,
  count,            ///< Of samples.
  rate,             ///< What it rises by in a minute, over a sliding window.
  no_data,          ///< How long nothing has come.
  energy,           ///< What a counter has counted since the running interval began.
  demand_forecast,  ///< The average power that the running interval will end with, in kW.
  deviation,        ///< How far a value is from what another field of the device expects it to be.
};
std::string_view to_string(ConditionKind kind);
inline bool has_window(ConditionKind kind) { return kind >= ConditionKind::average && kind <= ConditionKind::rate; }
/// Whether it counts within intervals of the local day.
inline bool is_interval(ConditionKind kind) {
  return kind == ConditionKind::energy || kind == ConditionKind::demand_forecast;
}
std::optional<ConditionKind> condition_kind_from(std::string_view text);

/// One comparison within a rule.
struct Condition {
  ConditionKind kind = ConditionKind::threshold;
  std::string device;    ///< Always this one; empty for the device in the rule's scope.
  std::string property;  ///< A field's name, or a measurand's; with no_data it may be empty: any of them.
  Comparison comparison = Comparison::greater;
  double threshold = 0;                ///< In the property's unit; kWh and kW for energy and demand.
  std::optional<double> clear;         ///< Hysteresis: once met, it is met until this is passed, too.
  std::chrono::microseconds window{};  ///< Of the sliding window, the interval, or the silence.
  std::string reference;               ///< The field that says what is expected, for a deviation.
  bool is_relative = false;            ///< A deviation in % of the reference.

  bool operator==(const Condition&) const = default;
};

/// Hours of local time, on some days of the week.
struct Hours {
  unsigned days = 0x7f;  ///< Bit 0 is Monday.
  int from = 0;          ///< Minutes since midnight.
  int to = 24 * 60;      ///< Not included; before `from`, it is the next morning's.

  /// `weekday` from 0 (Monday).
  bool hold(int weekday, int minute) const;
  bool operator==(const Hours&) const = default;
};
/// Such as `Mon-Fri 07:00-18:00`, `Sat,Sun` or `22:00-06:00`. Errors: nullopt for anything else.
std::optional<Hours> hours_from(std::string_view text);
std::string to_string(const Hours& hours);

/// Who else is told through a channel than those who stand with it.
using Recipients = std::map<std::string, std::vector<std::string>>;

/// One or more conditions, judged at every reading of the devices in its scope, and what follows.
struct Rule {
  std::string id;  ///< UUID.
  std::string name;
  std::string description;
  std::string tenant = "default";
  RuleScope scope = RuleScope::all_devices;
  bool is_total = false;          ///< Over the building's meter tree, where it counts energy or demand.
  bool needs_all = true;          ///< Of the conditions; else any of them is enough.
  bool is_outside_hours = false;  ///< It is judged outside of its hours instead.
  Severity severity = Severity::medium;
  RuleStatus status = RuleStatus::active;
  std::vector<std::string> device_ids;  ///< Used with selected_devices alone.
  std::string scope_name;               ///< The building or the device type.
  std::vector<Condition> conditions;    ///< At least one.
  std::chrono::microseconds hold{};     ///< So long must they be met.
  std::optional<Hours> hours;           ///< Local time in which it is judged.
  std::vector<std::string> channels;
  Recipients recipients;  ///< By channel, in place of those who stand with it.
  std::chrono::minutes cooldown{15};
  std::chrono::microseconds escalate_after{};  ///< Without an acknowledgement; 0: never.
  std::vector<std::string> escalate_to;        ///< Channels.
  std::optional<Timestamp> last_triggered_at;
  Timestamp created_at{}, updated_at{};
  std::string origin;  ///< `file:line` that provisioned it; empty when it lives in the database alone.

  /// Whether both judge alike, whatever they are called and whoever is told.
  bool judges_like(const Rule& other) const {
    return scope == other.scope && device_ids == other.device_ids && scope_name == other.scope_name &&
           is_total == other.is_total && conditions == other.conditions && needs_all == other.needs_all &&
           hold == other.hold && hours == other.hours && is_outside_hours == other.is_outside_hours;
  }
  bool operator==(const Rule&) const = default;
};

enum class AlertStatus : std::uint8_t { open, acknowledged, resolved, suppressed };
std::string_view to_string(AlertStatus status);
std::optional<Severity> severity_from(std::string_view text);
std::optional<Comparison> comparison_from(std::string_view text);
std::optional<RuleStatus> rule_status_from(std::string_view text);
std::optional<RuleScope> rule_scope_from(std::string_view text);
std::optional<AlertStatus> alert_status_from(std::string_view text);

/// What a rule raised, with its life: one alert for as long as the condition holds.
struct Alert {
  std::string id;  ///< UUID.
  std::string rule_id;
  std::string tenant = "default";
  std::string device_id;
  Severity severity = Severity::medium;
  std::string message;
  double actual_value = 0;
  double threshold_value = 0;
  AlertStatus status = AlertStatus::open;
  std::uint64_t count = 1;  ///< Readings in this episode that met the condition.
  double last_value = 0;
  Timestamp created_at{};
  Timestamp last_seen_at{};
  std::string acknowledged_by;
  std::optional<Timestamp> acknowledged_at;
  std::optional<Timestamp> resolved_at;
  std::string resolved_by;  ///< Empty: its condition ended.
  std::optional<Timestamp> notified_at;
  std::optional<Timestamp> escalated_at;
  bool is_late = false;      ///< Of readings that came too late to tell anybody.
  bool is_flapping = false;  ///< It comes and goes too often: it stands until it has been quiet for a while.
  bool stands = true;        ///< Its condition is still met, whatever a person has said of it.

  bool is_active() const { return stands && status != AlertStatus::resolved; }
  bool operator==(const Alert&) const = default;
};

/// A while in which nobody is told: maintenance.
struct Silence {
  std::string id;                       ///< UUID.
  std::vector<std::string> device_ids;  ///< Empty: all.
  std::vector<std::string> rule_ids;    ///< Empty: all.
  Timestamp from{}, to{};
  std::string created_by;
  std::string comment;

  bool covers(const std::string& rule_id, const std::string& device_id, Timestamp at) const;
  bool operator==(const Silence&) const = default;
};

}  // namespace wattd
