#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/time.h"

namespace wattd {

enum class Severity { low, medium, high, critical };
std::string_view to_string(Severity severity);

enum class Comparison { greater, less, greater_or_equal, less_or_equal, equal, not_equal };
/// `>`, `<`, `>=`, `<=`, `=` or `!=`.
std::string_view to_string(Comparison comparison);
bool holds(double actual, Comparison comparison, double threshold);

enum class RuleStatus { active, paused, archived };
std::string_view to_string(RuleStatus status);

enum class RuleScope { all_devices, selected_devices };
std::string_view to_string(RuleScope scope);

/// A condition on one field, judged at every reading of the devices in its scope.
struct Rule {
  std::string id;  ///< UUID.
  std::string name;
  std::string description;
  std::string tenant = "default";
  RuleScope scope = RuleScope::all_devices;
  std::vector<std::string> device_ids;  ///< Used with selected_devices alone.
  std::string property;                 ///< A field's name, or a measurand's.
  Comparison condition = Comparison::greater;
  double threshold = 0;  ///< In the property's unit.
  Severity severity = Severity::medium;
  RuleStatus status = RuleStatus::active;
  std::vector<std::string> channels;
  std::chrono::minutes cooldown{15};
  std::optional<Timestamp> last_triggered_at;
  std::string origin;  ///< `file:line` that provisioned it; empty when it lives in the database alone.

  bool operator==(const Rule&) const = default;
};

enum class AlertStatus { open, acknowledged, resolved, suppressed };
std::string_view to_string(AlertStatus status);
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

  bool operator==(const Alert&) const = default;
};

}  // namespace wattd
