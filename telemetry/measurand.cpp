#include "telemetry/measurand.h"

#include <algorithm>
#include <array>
#include <ranges>

namespace wattd {
namespace {

using Named = std::pair<std::string_view, Measurand>;

// Names that are whole as they stand, behind a role or not.
constexpr std::array kWhole{
    Named{"frequency", {"Hz"}},
    Named{"power", {"W"}},
    Named{"voltage", {"V"}},
    Named{"current", {"A"}},
    Named{"temperature", {"degC"}},
    Named{"soc", {"%"}},
    Named{"soh", {"%"}},
    Named{"voltage_unbalance", {"%"}},
    Named{"operating_hours", {"h", true}},
    Named{"operating_state", {""}},
    Named{"operating_state_vendor", {""}},
    Named{"phase_sequence", {""}},
    Named{"event_flags", {""}},
    Named{"event_flags_1", {""}},
    Named{"event_flags_2", {""}},
    Named{"device_manufacturer", {""}},
    Named{"device_model", {""}},
    Named{"device_options", {""}},
    Named{"device_version", {""}},
    Named{"device_serial", {""}},
    Named{"device_address", {""}},
    Named{"energy_session", {"kWh"}},
    Named{"energy_resettable", {"kWh", true}},
    Named{"energy_charge_total", {"kWh", true}},
    Named{"energy_discharge_total", {"kWh", true}},
    Named{"consumed_ah", {"Ah"}},
    Named{"power_charge", {"W"}},
    Named{"power_discharge", {"W"}},
    Named{"temperature_difference", {"degC"}},
    Named{"flow_temperature", {"degC"}},
    Named{"return_temperature", {"degC"}},
    Named{"volume_flow", {"m3/h"}},
    Named{"volume_flow_2", {"m3/h"}},
    Named{"volume_total", {"m3", true}},
    Named{"volume_reverse_total", {"m3", true}},
    Named{"volume_t1", {"m3", true}},
    Named{"volume_t2", {"m3", true}},
    Named{"volume_mode2", {"m3", true}},
    // The decimal part of an integer counter: by itself it goes round and round.
    Named{"volume_total_fraction", {"m3"}},
    Named{"volume_reverse_total_fraction", {"m3"}},
    Named{"energy_mode2", {"kWh", true}},
};

// Longest prefix first, so that power_reactive is not taken for power. A scope follows.
constexpr std::array kQuantities{
    Named{"energy_reactive_capacitive", {"kvarh", true}},
    Named{"energy_reactive_inductive", {"kvarh", true}},
    Named{"energy_reactive_import", {"kvarh", true}},
    Named{"energy_reactive_export", {"kvarh", true}},
    Named{"energy_reactive_sum", {"kvarh", true}},
    Named{"energy_reactive_net", {"kvarh", false}},
    Named{"energy_reactive_q1", {"kvarh", true}},
    Named{"energy_reactive_q2", {"kvarh", true}},
    Named{"energy_reactive_q3", {"kvarh", true}},
    Named{"energy_reactive_q4", {"kvarh", true}},
    Named{"energy_apparent_import", {"kVAh", true}},
    Named{"energy_apparent_export", {"kVAh", true}},
    Named{"energy_apparent", {"kVAh", true}},
    Named{"energy_import", {"kWh", true}},
    Named{"energy_export", {"kWh", true}},
    Named{"energy_sum", {"kWh", true}},
    Named{"energy_net", {"kWh", false}},
    Named{"energy", {"kWh", true}},
    Named{"demand_apparent", {"VA", false}},
    Named{"demand_reactive", {"var", false}},
    Named{"demand_current", {"A", false}},
    Named{"demand_power_import", {"W", false}},
    Named{"demand_power_export", {"W", false}},
    Named{"demand_power", {"W", false}},
    Named{"power_reactive_import", {"var", false}},
    Named{"power_reactive_export", {"var", false}},
    Named{"power_reactive", {"var", false}},
    Named{"power_apparent", {"VA", false}},
    Named{"power_factor", {"1", false}},
    Named{"power_import", {"W", false}},
    Named{"power_export", {"W", false}},
    Named{"power", {"W", false}},
    Named{"thd_voltage", {"%", false}},
    Named{"thd_current", {"%", false}},
    Named{"phase_angle", {"deg", false}},
    Named{"voltage_angle", {"deg", false}},
    Named{"voltage_peak", {"V", false}},
    Named{"current_peak", {"A", false}},
    Named{"current_vector", {"A", false}},
    Named{"frequency", {"Hz", false}},
    Named{"temperature", {"degC", false}},
    Named{"voltage", {"V", false}},
    Named{"current", {"A", false}},
    Named{"charge_import", {"Ah", true}},
    Named{"charge_export", {"Ah", true}},
    Named{"charge", {"Ah", true}},
};

constexpr std::array<std::string_view, 36> kScopes{
    "total",   "l1",       "l2",          "l3",     "l4",     "n",      "l1_n",     "l2_n",    "l3_n",
    "l1_l2",   "l2_l3",    "l3_l1",       "ln_avg", "ll_avg", "avg",    "sum",      "sys",     "pen",
    "t1",      "t2",       "t3",          "t4",     "import", "export", "internal", "ambient", "resettable",
    "cabinet", "heatsink", "transformer", "other",  "3",      "4",      "ch1",      "ch2",     "ch3"};

// Whose quantity it is; without one it is the device's own connection.
constexpr std::array<std::string_view, 18> kRoles{
    "grid_ct_", "grid_",      "load_input_", "load_output_",  "load_dc_",      "load_",
    "backup_",  "generator_", "ev_",         "meter2_",       "battery2_",     "battery_",
    "vehicle_", "heat_",      "pv_on_grid_", "pv_on_output_", "pv_on_genset_", "dc_"};

// The same quantity once more, from another register of the same device.
constexpr std::array<std::string_view, 6> kVariants{"_alt", "_float", "_int", "_dec", "_32", "_coded"};

bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }

/// Takes `_ch7` or `_ct2` off the end.
void remove_channel(std::string_view& name) {
  const auto last = name.rfind('_');
  if (last == std::string_view::npos) return;
  const auto channel = name.substr(last + 1);
  if (channel.size() < 3 || channel.size() > 4 || !(channel.starts_with("ch") || channel.starts_with("ct"))) return;
  if (std::ranges::all_of(channel.substr(2), is_digit)) name = name.substr(0, last);
}

void remove_role(std::string_view& name) {
  if (name.starts_with("pv") && name.size() > 3) {
    // pv_power of all inputs together, pv7_power of one.
    const auto end = name.find_first_not_of("0123456789", 2);
    if (end != std::string_view::npos && name[end] == '_' && end <= 4 && !name.starts_with("pv_on_")) {
      name.remove_prefix(end + 1);
      return;
    }
  }
  const auto role = std::ranges::find_if(kRoles, [&](auto prefix) { return name.starts_with(prefix); });
  if (role != kRoles.end()) name.remove_prefix(role->size());
}

bool is_scope(std::string_view text) {
  for (const auto variant : kVariants) {
    if (text.ends_with(variant)) text.remove_suffix(variant.size());
  }
  if (text.ends_with("_max")) text.remove_suffix(4);
  if (text.size() > 11 && text.ends_with("_resettable")) text.remove_suffix(11);
  return std::ranges::find(kScopes, text) != kScopes.end();
}

}  // namespace

std::optional<Measurand> find_measurand(std::string_view name) {
  if (name.ends_with(kAdjusted)) {
    auto raw = find_measurand(name.substr(0, name.size() - kAdjusted.size()));
    if (raw && !(raw->counter && raw->is_energy())) raw.reset();
    return raw;
  }
  const auto whole_name = name;
  // From where to where: each pair of connections is a counter of its own.
  if (name.starts_with("energy_flow_") && name.find("_to_") != std::string_view::npos) return Measurand{"kWh", true};
  remove_channel(name);
  const bool has_channel = name.size() < whole_name.size();
  remove_role(name);
  const bool is_plain = name.size() == whole_name.size();
  for (const auto& [whole, measurand] : kWhole) {
    // A field that somebody calls `power`, `voltage` or `current` says nothing of whose it is.
    const bool needs_more = whole == "power" || whole == "voltage" || whole == "current" || whole == "temperature";
    if (name == whole && !(needs_more && is_plain)) return measurand;
  }
  for (const auto& [prefix, measurand] : kQuantities) {
    if (!name.starts_with(prefix) || (prefix == "energy" && is_plain)) continue;
    if (name.size() == prefix.size() && has_channel) return measurand;
    if (name.size() > prefix.size() + 1 && name[prefix.size()] == '_' && is_scope(name.substr(prefix.size() + 1)))
      return measurand;
  }
  return std::nullopt;
}

}  // namespace wattd
