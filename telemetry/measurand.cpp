#include "telemetry/measurand.h"

#include <algorithm>
#include <array>

namespace wattd {
namespace {

struct Quantity {
  std::string_view prefix;
  Measurand measurand;
};

// Longest prefix first, so that power_reactive is not taken for power.
constexpr std::array kQuantities{
    Quantity{"energy_reactive_import", {"kvarh", true}},
    Quantity{"energy_reactive_export", {"kvarh", true}},
    Quantity{"energy_reactive_sum", {"kvarh", true}},
    Quantity{"energy_reactive_net", {"kvarh", false}},
    Quantity{"energy_apparent", {"kVAh", true}},
    Quantity{"energy_import", {"kWh", true}},
    Quantity{"energy_export", {"kWh", true}},
    Quantity{"energy_sum", {"kWh", true}},
    Quantity{"energy_net", {"kWh", false}},
    Quantity{"demand_apparent", {"VA", false}},
    Quantity{"demand_current", {"A", false}},
    Quantity{"demand_power", {"W", false}},
    Quantity{"power_reactive", {"var", false}},
    Quantity{"power_apparent", {"VA", false}},
    Quantity{"power_factor", {"1", false}},
    Quantity{"power_import", {"W", false}},
    Quantity{"power_export", {"W", false}},
    Quantity{"power", {"W", false}},
    Quantity{"thd_voltage", {"%", false}},
    Quantity{"thd_current", {"%", false}},
    Quantity{"phase_angle", {"deg", false}},
    Quantity{"temperature", {"degC", false}},
    Quantity{"voltage", {"V", false}},
    Quantity{"current", {"A", false}},
    Quantity{"charge", {"Ah", true}},
};

constexpr std::array<std::string_view, 27> kScopes{
    "total", "l1",     "l2",     "l3",     "n",      "l1_n",   "l2_n",     "l3_n",       "l1_l2",
    "l2_l3", "l3_l1",  "ln_avg", "ll_avg", "avg",    "sum",    "t1",       "t2",         "t3",
    "t4",    "import", "export", "l1_max", "l2_max", "l3_max", "internal", "resettable", "ambient"};

constexpr std::array<Quantity, 5> kWhole{Quantity{"frequency", {"Hz", false}}, Quantity{"operating_hours", {"h", true}},
                                         Quantity{"dc_voltage", {"V", false}}, Quantity{"dc_current", {"A", false}},
                                         Quantity{"dc_power", {"W", false}}};

bool is_scope(std::string_view text) {
  if (text.ends_with("_max")) text.remove_suffix(4);
  return std::ranges::find(kScopes, text) != kScopes.end();
}

}  // namespace

std::optional<Measurand> find_measurand(std::string_view name) {
  for (const auto& [whole, measurand] : kWhole) {
    if (name == whole) return measurand;
  }
  for (const auto& [prefix, measurand] : kQuantities) {
    if (!name.starts_with(prefix) || name.size() <= prefix.size() + 1) continue;
    if (name[prefix.size()] == '_' && is_scope(name.substr(prefix.size() + 1))) return measurand;
  }
  return std::nullopt;
}

}  // namespace wattd
