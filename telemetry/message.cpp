#include "telemetry/message.h"

#include <array>

namespace wattd {

std::string_view to_string(Rejection reason) {
  static constexpr std::array<std::string_view, 6> kNames{"parse_error",     "validation_error", "write_error",
                                                          "timestamp_error", "device_error",     "upstream_rejected"};
  return kNames[static_cast<std::size_t>(reason)];
}

}  // namespace wattd
