#include "telemetry/quality.h"

#include <algorithm>
#include <array>

namespace wattd {
namespace {

constexpr std::array<std::string_view, 11> kNames{"stale",     "invalid",        "out_of_range",  "comm_error",
                                                  "estimated", "interpolated",   "substituted",   "reset",
                                                  "rollover",  "clock_unsynced", "clock_adjusted"};

}  // namespace

std::optional<Quality> quality_from(std::string_view name) {
  const auto* const found = std::ranges::find(kNames, name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Quality>(1 << (found - kNames.begin()));
}

std::string to_string(Quality quality) {
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
