#include "telemetry/rule.h"

#include <array>

namespace wattd {
namespace {
constexpr std::array<std::string_view, 4> kSeverity{"low", "medium", "high", "critical"};
constexpr std::array<std::string_view, 6> kComparison{">", "<", ">=", "<=", "=", "!="};
constexpr std::array<std::string_view, 3> kRuleStatus{"active", "paused", "archived"};
constexpr std::array<std::string_view, 2> kScope{"all_devices", "selected_devices"};
constexpr std::array<std::string_view, 4> kAlertStatus{"open", "acknowledged", "resolved", "suppressed"};
}  // namespace

std::string_view to_string(Severity severity) { return kSeverity[static_cast<std::size_t>(severity)]; }
std::string_view to_string(Comparison comparison) { return kComparison[static_cast<std::size_t>(comparison)]; }
std::string_view to_string(RuleStatus status) { return kRuleStatus[static_cast<std::size_t>(status)]; }
std::string_view to_string(RuleScope scope) { return kScope[static_cast<std::size_t>(scope)]; }
std::string_view to_string(AlertStatus status) { return kAlertStatus[static_cast<std::size_t>(status)]; }

std::optional<AlertStatus> alert_status_from(std::string_view text) {
  for (std::size_t i = 0; i < kAlertStatus.size(); ++i) {
    if (text == kAlertStatus[i]) return static_cast<AlertStatus>(i);
  }
  return std::nullopt;
}

bool holds(double actual, Comparison comparison, double threshold) {
  switch (comparison) {
    case Comparison::greater: return actual > threshold;
    case Comparison::less: return actual < threshold;
    case Comparison::greater_or_equal: return actual >= threshold;
    case Comparison::less_or_equal: return actual <= threshold;
    case Comparison::equal: return actual == threshold;
    case Comparison::not_equal: return actual != threshold;
  }
  return false;
}

}  // namespace wattd
