#include "telemetry/quality.h"

#include <array>
#include <string_view>

namespace wattd {

std::string to_string(Quality quality) {
  static constexpr std::array<std::string_view, 11> kNames{"stale",     "invalid",        "out_of_range",  "comm_error",
                                                           "estimated", "interpolated",   "substituted",   "reset",
                                                           "rollover",  "clock_unsynced", "clock_adjusted"};
  if (quality == Quality::good) return "good";
  std::string text;
  for (std::size_t bit = 0; bit < kNames.size(); ++bit) {
    if (!has(quality, static_cast<Quality>(1 << bit))) continue;
    if (!text.empty()) text += ',';
    text += kNames[bit];
  }
  return text;
}

}  // namespace wattd
