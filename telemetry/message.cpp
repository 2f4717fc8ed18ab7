#include "telemetry/message.h"

#include <algorithm>
#include <array>

namespace wattd {
namespace {

constexpr std::array<std::string_view, 6> kNames{"parse_error",     "validation_error", "write_error",
                                                 "timestamp_error", "device_error",     "upstream_rejected"};

}  // namespace

std::string_view to_string(Rejection reason) { return kNames[static_cast<std::size_t>(reason)]; }

Rejection rejection_from(std::string_view name) {
  const auto known = std::ranges::find(kNames, name);
  return known == kNames.end() ? Rejection::parse_error : static_cast<Rejection>(known - kNames.begin());
}

}  // namespace wattd
