#include "telemetry/delivery.h"

#include <algorithm>
#include <array>

namespace wattd {
namespace {

constexpr std::array<std::string_view, 4> kStatus{"pending", "sent", "failed", "bounced"};

}  // namespace

std::string_view to_string(DeliveryStatus status) { return kStatus[static_cast<std::size_t>(status)]; }

std::optional<DeliveryStatus> delivery_status_from(std::string_view text) {
  const auto found = std::ranges::find(kStatus, text);
  if (found == kStatus.end()) return std::nullopt;
  return static_cast<DeliveryStatus>(found - kStatus.begin());
}

}  // namespace wattd
