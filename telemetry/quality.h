#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace wattd {

/// Why a value is less than good, as a bitmask; zero is good.
/// The numbers are stored: never reuse or renumber one.
enum class Quality : std::uint16_t {
  good = 0,
  stale = 1 << 0,            ///< Older than its source promises.
  invalid = 1 << 1,          ///< The device's own sentinel for "not available".
  out_of_range = 1 << 2,     ///< Outside the range of its schema.
  comm_error = 1 << 3,       ///< The bus or the link failed.
  estimated = 1 << 4,        ///< Reckoned over a gap.
  interpolated = 1 << 5,     ///< Placed between two measured values.
  substituted = 1 << 6,      ///< Put in by a person or a rule.
  reset = 1 << 7,            ///< A counter began anew here.
  rollover = 1 << 8,         ///< A counter passed its modulus here.
  clock_unsynced = 1 << 9,   ///< Stamped by a clock that nothing vouched for.
  clock_adjusted = 1 << 10,  ///< Stamped while the clock was being put right.
};

constexpr Quality operator|(Quality a, Quality b) {
  return static_cast<Quality>(static_cast<std::uint16_t>(a) | static_cast<std::uint16_t>(b));
}
constexpr Quality& operator|=(Quality& a, Quality b) { return a = a | b; }
constexpr Quality without(Quality set, Quality flag) {
  return static_cast<Quality>(static_cast<std::uint16_t>(set) & ~static_cast<std::uint16_t>(flag));
}
constexpr bool has(Quality set, Quality flag) {
  return (static_cast<std::uint16_t>(set) & static_cast<std::uint16_t>(flag)) != 0;
}

/// The flag of a name, as to_string() writes it; nothing for other names.
std::optional<Quality> quality_from(std::string_view name);
/// The names of the flags that are set, separated by commas; `good` for none.
std::string to_string(Quality quality);

}  // namespace wattd
