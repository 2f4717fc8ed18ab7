#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/database.h"
#include "telemetry/device.h"
#include "telemetry/rule.h"

namespace wattd::storage {

/// Finds the enumerator whose to_string is `text` among the first `count`.
template <class Enum>
std::optional<Enum> named(std::string_view text, int count) {
  for (int i = 0; i < count; ++i) {
    if (to_string(static_cast<Enum>(i)) == text) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

/// The array columns of the catalogue hold JSON arrays of plain texts.
std::string to_json_array(const std::vector<std::string>& texts);
std::vector<std::string> from_json_array(std::string_view array);

inline constexpr std::string_view kSelectAlerts =
    "SELECT alert_id, rule_id, ifnull(tenant_id,''), device_id, severity, message, actual_value, threshold_value, "
    "status, count, last_value, last_seen_at, ifnull(acknowledged_by,''), acknowledged_at, resolved_at, created_at "
    "FROM alerts";
/// The alert in a row of kSelectAlerts.
Alert alert_from(const Statement& row);

}  // namespace wattd::storage
