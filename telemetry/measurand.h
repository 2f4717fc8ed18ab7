#pragma once
#include <optional>
#include <string_view>

namespace wattd {

/// A quantity with a fixed name and unit, such as `power_total` in W.
struct Measurand {
  std::string_view unit;  ///< In the vocabulary's spelling; "1" for a pure number.
  bool counter = false;   ///< Grows for ever (energy, operating hours): its differences carry the meaning.

  /// In thousandths of whose unit an hour's use is measured: kWh of W, kvarh of var, kVAh of VA.
  bool is_energy() const { return unit == "kWh" || unit == "kvarh" || unit == "kVAh"; }
};

/// What the name of a counter ends in once it was put right: it only rises, over resets, rollovers and new meters.
inline constexpr std::string_view kAdjusted = "_adjusted";

/// Looks a name up in the vocabulary `quantity[_subquantity][_direction]_scope`.
/// Errors: nullopt for a name outside the vocabulary.
/// Source: docs/measurands.md.
std::optional<Measurand> find_measurand(std::string_view name);

}  // namespace wattd
