#include <fmt/format.h>

#include <array>

#include "drivers/mqtt/dialect.h"
#include "drivers/mqtt/json_fields.h"
#include "drivers/mqtt/levels.h"

namespace wattd::drivers::mqtt {
namespace {

/// What openWB says of a component; {} is a phase, in lists.
struct Topic {
  std::string_view component;  ///< Empty for any.
  std::string_view theirs;
  std::string_view ours;
  double scale = 1;
};
/// Powers count + into the thing that is named: a generator's is negative there.
constexpr std::array<Topic, 16> kTopics{{{"pv", "power", "pv_power", -1},
                                         {"pv", "exported", "pv_energy_total", kPerWattHour},
                                         {"bat", "power", "battery_power"},
                                         {"bat", "soc", "battery_soc"},
                                         {"bat", "imported", "battery_energy_charge_total", kPerWattHour},
                                         {"bat", "exported", "battery_energy_discharge_total", kPerWattHour},
                                         {"chargepoint", "power", "ev_power"},
                                         {"chargepoint", "imported", "ev_energy_total", kPerWattHour},
                                         {"", "power", "power_total"},
                                         {"", "imported", "energy_import_total", kPerWattHour},
                                         {"", "exported", "energy_export_total", kPerWattHour},
                                         {"", "frequency", "frequency"},
                                         {"", "currents", "current_l{}"},
                                         {"", "voltages", "voltage_l{}_n"},
                                         {"", "powers", "power_l{}"},
                                         {"", "power_factors", "power_factor_l{}"}}};

/// openWB/COMPONENT/ID/get/QUANTITY, also behind openWB/mqtt: a number or a list of phases, in W, Wh, V and A.
class OpenWb final : public Dialect {
 public:
  Result<std::vector<Decoded>> decode(std::string_view topic, std::string_view payload) override {
    const auto levels = place_in(topic);
    if (levels.empty()) return nothing();
    const auto known = std::ranges::find_if(kTopics, [&](const Topic& one) {
      return one.theirs == levels[3] && (one.component.empty() || one.component == levels[0]);
    });
    if (known == kTopics.end()) return nothing();
    try {
      Decoded decoded;
      decoded.reading.device_id = device_in(topic).value_or("");
      Flattener fields(decoded.reading.fields);
      const auto root = parser_.parse_any(payload);
      const bool of_phases = known->ours.find('{') != std::string_view::npos;
      if (root.is_array() != of_phases) throw BadPayload{of_phases ? "expected a list of phases" : "expected a number"};
      if (simdjson::dom::array list; root.get(list) == simdjson::SUCCESS) {
        int phase = 0;
        for (const auto element : list) {
          const auto number = number_in(element);
          if (++phase <= 3 && number)
            fields.leaf(fmt::format(fmt::runtime(known->ours), phase), *number * known->scale);
        }
      } else if (const auto number = number_in(root)) {
        fields.leaf(std::string(known->ours), *number * known->scale);
      }
      return only(std::move(decoded));
    } catch (const BadPayload& problem) {
      return fail(ErrorKind::permanent, problem.why);
    }
  }

  std::optional<std::string> device_in(std::string_view topic) const override {
    const auto levels = place_in(topic);
    if (levels.empty()) return std::nullopt;
    return device_id_of(fmt::format("openwb-{}-{}", levels[0], levels[1]));
  }

 private:
  /// COMPONENT, ID, get, QUANTITY.
  static std::vector<std::string_view> place_in(std::string_view topic) {
    auto levels = levels_of(topic);
    if (levels.front() != "openWB") return std::vector<std::string_view>{};
    levels.erase(levels.begin(), levels.begin() + (levels.size() > 1 && levels[1] == "mqtt" ? 2 : 1));
    return levels.size() == 4 && levels[2] == "get" ? levels : std::vector<std::string_view>{};
  }

  ObjectParser parser_;
};

}  // namespace

std::unique_ptr<Dialect> openwb() { return std::make_unique<OpenWb>(); }

}  // namespace wattd::drivers::mqtt
