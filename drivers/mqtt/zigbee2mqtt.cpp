#include <array>
#include <utility>

#include "drivers/mqtt/dialect.h"
#include "drivers/mqtt/json_fields.h"
#include "drivers/mqtt/levels.h"

namespace wattd::drivers::mqtt {
namespace {

constexpr std::string_view kBase = "zigbee2mqtt/";

constexpr std::array<std::pair<std::string_view, std::string_view>, 31> kNames{
    {{"power", "power_total"},
     {"power_phase_b", "power_l2"},
     {"power_phase_c", "power_l3"},
     {"power_apparent", "power_apparent_total"},
     {"power_reactive", "power_reactive_total"},
     {"power_factor", "power_factor_total"},
     {"voltage", "voltage_l1_n"},
     {"voltage_phase_b", "voltage_l2_n"},
     {"voltage_phase_c", "voltage_l3_n"},
     {"current", "current_l1"},
     {"current_phase_b", "current_l2"},
     {"current_phase_c", "current_l3"},
     {"current_neutral", "current_n"},
     {"ac_frequency", "frequency"},
     {"energy", "energy_import_total"},
     {"produced_energy", "energy_export_total"},
     {"energy_phase_b", "energy_import_l2"},
     {"energy_phase_c", "energy_import_l3"},
     {"voltage_l1", "voltage_l1_n"},
     {"voltage_l2", "voltage_l2_n"},
     {"voltage_l3", "voltage_l3_n"},
     {"power_a", "power_l1"},
     {"power_b", "power_l2"},
     {"power_c", "power_l3"},
     {"voltage_a", "voltage_l1_n"},
     {"voltage_b", "voltage_l2_n"},
     {"voltage_c", "voltage_l3_n"},
     {"current_a", "current_l1"},
     {"current_b", "current_l2"},
     {"current_c", "current_l3"},
     {"temperature", "temperature_ambient"}}};

/// zigbee2mqtt/NAME: {"power", "voltage", "current", "energy", …} in W, V, A and kWh; names may have levels of their
/// own.
class Zigbee2Mqtt final : public Dialect {
 public:
  Result<std::vector<Decoded>> decode(std::string_view topic, std::string_view payload) override {
    const auto device = device_in(topic);
    if (!device || payload.empty()) return nothing();
    try {
      const auto object = parser_.parse(payload);
      const auto has = [&](std::string_view name) {
        simdjson::dom::element unused;
        return object[name].get(unused) == simdjson::SUCCESS;
      };
      const bool is_three_phase = has("power_phase_b");
      // Where every phase is named, what is not is their sum.
      const bool names_phases = has("current_l1") || has("current_a") || has("voltage_l1") || has("voltage_a");
      // Of a sensor that measures no mains it is the battery's, in millivolts.
      const bool has_mains = !has("battery") || has("power") || has("current") || has("energy");
      Decoded decoded;
      decoded.reading.device_id = *device;
      Flattener fields(decoded.reading.fields);
      for (const auto& [name, element] : object) {
        if (name == "last_seen" || name == "update" || name == "update_available") continue;
        const auto known = std::ranges::find(kNames, name, &std::pair<std::string_view, std::string_view>::first);
        if (name == "voltage" && !has_mains) fields.add({}, "battery_voltage_mv", element);
        else if (name == "power" && is_three_phase) fields.add({}, "power_l1", element);
        else if (name == "current" && names_phases) fields.add({}, "current_sum", element);
        else if (name == "voltage" && names_phases) fields.add({}, "voltage_ln_avg", element);
        else if (known != kNames.end() && !fields.has(known->second)) fields.add({}, known->second, element);
        else fields.add({}, name, element);
      }
      return only(std::move(decoded));
    } catch (const BadPayload& problem) {
      return fail(ErrorKind::permanent, problem.why);
    }
  }

  /// What is said about the bridge, about who is there, and to devices, is not telemetry.
  std::optional<std::string> device_in(std::string_view topic) const override {
    if (!topic.starts_with(kBase)) return std::nullopt;
    topic.remove_prefix(kBase.size());
    const auto levels = levels_of(topic);
    if (levels.front() == "bridge" || levels.front().empty()) return std::nullopt;
    for (const auto other : {"availability", "set", "get", "action"}) {
      if (std::find(levels.begin() + 1, levels.end(), other) != levels.end()) return std::nullopt;
    }
    return device_id_of(topic);
  }

 private:
  ObjectParser parser_;
};

}  // namespace

std::unique_ptr<Dialect> zigbee2mqtt() { return std::make_unique<Zigbee2Mqtt>(); }

}  // namespace wattd::drivers::mqtt
