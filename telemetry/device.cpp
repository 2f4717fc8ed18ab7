#include "telemetry/device.h"

#include <array>

namespace wattd {
namespace {
constexpr std::array<std::string_view, 4> kStatus{"active", "inactive", "maintenance", "error"};
constexpr std::array<std::string_view, 5> kEnrichment{"pending", "success", "failed", "timeout", "skipped"};
constexpr std::array<std::string_view, 3> kRole{"main", "sub", "virtual"};
}  // namespace

std::string_view to_string(DeviceStatus status) { return kStatus[static_cast<std::size_t>(status)]; }

std::optional<DeviceStatus> device_status_from(std::string_view text) {
  for (std::size_t i = 0; i < kStatus.size(); ++i) {
    if (text == kStatus[i]) return static_cast<DeviceStatus>(i);
  }
  return std::nullopt;
}

std::string_view to_string(EnrichmentStatus status) { return kEnrichment[static_cast<std::size_t>(status)]; }
std::string_view to_string(MeterRole role) { return kRole[static_cast<std::size_t>(role)]; }

}  // namespace wattd
