#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "drivers/mqtt/dialect.h"
#include "drivers/mqtt/json_fields.h"
#include "drivers/mqtt/levels.h"

namespace wattd::drivers::mqtt {
namespace {

/// What the members of ENERGY are called here: of the device, and of a phase where the member is a list of them.
struct Member {
  std::string_view theirs;
  std::string_view total;
  std::string_view phase;
};
constexpr std::array<Member, 10> kMembers{{{"Power", "power_total", "power_l{}"},
                                           {"ApparentPower", "power_apparent_total", "power_apparent_l{}"},
                                           {"ReactivePower", "power_reactive_total", "power_reactive_l{}"},
                                           {"Factor", "power_factor_total", "power_factor_l{}"},
                                           {"Voltage", "voltage_l1_n", "voltage_l{}_n"},
                                           {"Current", "current_l1", "current_l{}"},
                                           {"Frequency", "frequency", ""},
                                           {"Total", "energy_import_total", "energy_import_l{}"},
                                           {"ImportActive", "energy_import_total", "energy_import_l{}"},
                                           {"ExportActive", "energy_export_total", "energy_export_l{}"}}};
constexpr std::array<std::string_view, 4> kDerived{"TotalStartTime", "Yesterday", "Today", "Period"};
constexpr std::size_t kPhases = 3;

/// tele/NAME/SENSOR: {"Time", "ENERGY": {…}, other sensors}. Energies are kWh. "Time" is local and without a zone: the
/// time of arrival is better. Today, Yesterday and Period follow from the total.
class Tasmota final : public Dialect {
 public:
  Result<std::vector<Decoded>> decode(std::string_view topic, std::string_view payload) override {
    try {
      Decoded decoded;
      decoded.reading.device_id = device_in(topic).value_or("");
      Flattener fields(decoded.reading.fields);
      for (const auto& [name, element] : parser_.parse(payload)) {
        simdjson::dom::object energy;
        if (name == "ENERGY" && element.get(energy) == simdjson::SUCCESS) add_energy(fields, energy);
        else if (element.is_object()) fields.add({}, name, element);
      }
      return only(std::move(decoded));
    } catch (const BadPayload& problem) {
      return fail(ErrorKind::permanent, problem.why);
    }
  }

  std::optional<std::string> device_in(std::string_view topic) const override {
    const auto levels = levels_of(topic);
    if (levels.size() != 3) return std::nullopt;
    return device_id_of(levels[0] == "tele" ? levels[1] : levels[0]);
  }

 private:
  static void add_energy(Flattener& fields, simdjson::dom::object energy) {
    simdjson::dom::element unused;
    // Some meters tell directions apart; then "Total" is what went either way.
    const bool has_import = energy["ImportActive"].get(unused) == simdjson::SUCCESS;
    for (const auto& [name, element] : energy) {
      const auto known = std::ranges::find(kMembers, name, &Member::theirs);
      if (known == kMembers.end() && std::ranges::find(kDerived, name) == kDerived.end())
        fields.add("ENERGY", name, element);
    }
    for (const auto& member : kMembers) {
      simdjson::dom::element value;
      if (energy[member.theirs].get(value) != simdjson::SUCCESS) continue;
      const bool is_sum = member.theirs == "Total" && has_import;
      const auto total = is_sum ? std::string_view("energy_sum_total") : member.total;
      const auto phase = is_sum ? std::string_view("energy_sum_l{}") : member.phase;
      if (const auto number = number_in(value)) fields.leaf(std::string(total), *number);
      if (simdjson::dom::array list; value.get(list) == simdjson::SUCCESS && !phase.empty()) {
        std::size_t index = 0;
        for (const auto one : list) {
          const auto number = number_in(one);
          ++index;
          if (number && index <= kPhases) fields.leaf(fmt::format(fmt::runtime(phase), index), *number);
          else if (number) fields.leaf(fmt::format("ENERGY.{}.{}", member.theirs, index - 1), *number);
        }
      } else if (value.get(list) == simdjson::SUCCESS && list.size() > 0) {
        if (const auto number = number_in(*list.begin())) fields.leaf(std::string(total), *number);
      }
    }
  }

  ObjectParser parser_;
};

}  // namespace

std::unique_ptr<Dialect> tasmota() { return std::make_unique<Tasmota>(); }

}  // namespace wattd::drivers::mqtt
