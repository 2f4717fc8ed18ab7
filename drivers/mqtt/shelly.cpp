#include <fmt/format.h>

#include <array>
#include <charconv>

#include "drivers/mqtt/dialect.h"
#include "drivers/mqtt/json_fields.h"
#include "drivers/mqtt/levels.h"

namespace wattd::drivers::mqtt {
namespace {

constexpr double kPerWattMinute = kPerWattHour / 60;  // kWh

struct Quantity {
  std::string_view theirs;
  std::string_view total;  ///< Its name for a channel.
  std::string_view phase;  ///< For a phase; {} is its number.
  double scale = 1;
};

/// The number behind a name, as in emeter/1 or em1:2.
std::optional<int> number_of(std::string_view text) {
  int number = -1;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{} || end != text.data() + text.size() || number < 0 || number > 15) return std::nullopt;
  return number;
}

std::string of_channel(std::string_view name, int channel, bool always) {
  return channel == 0 && !always ? std::string(name) : fmt::format("{}_ch{}", name, channel + 1);
}

constexpr std::array<Quantity, 7> kGen1{{{"power", "power_total", "power_l{}"},
                                         {"reactive_power", "power_reactive_total", "power_reactive_l{}"},
                                         {"voltage", "voltage_l1_n", "voltage_l{}_n"},
                                         {"current", "current_l1", "current_l{}"},
                                         {"pf", "power_factor_total", "power_factor_l{}"},
                                         {"total", "energy_import_total", "energy_import_l{}", kPerWattHour},
                                         {"total_returned", "energy_export_total", "energy_export_l{}", kPerWattHour}}};

/// shellies/ID/emeter/N/QUANTITY and relay|meter/N/power|energy: one number a message. Totals are Wh; a relay's energy
/// is watt-minutes since it was started, an emeter's only since the last message.
class ShellyGen1 final : public Dialect {
 public:
  Result<std::vector<Decoded>> decode(std::string_view topic, std::string_view payload) override {
    const auto levels = levels_of(topic);
    if (levels.size() != 5 || levels[0] != "shellies") return nothing();
    const auto channel = number_of(levels[3]);
    const auto name = channel ? name_of(levels[1], levels[2], *channel, levels[4]) : std::nullopt;
    if (!name) return nothing();
    const auto number = number_in(payload);
    if (!number) return fail(ErrorKind::permanent, fmt::format("{:?} is not a number", payload.substr(0, 40)));
    Decoded decoded;
    decoded.reading.device_id = device_id_of(levels[1]);
    decoded.reading.fields.push_back({name->first, *number * name->second});
    return only(std::move(decoded));
  }

  std::optional<std::string> device_in(std::string_view topic) const override {
    const auto levels = levels_of(topic);
    return levels.size() > 1 ? std::optional(device_id_of(levels[1])) : std::nullopt;
  }

 private:
  static std::optional<std::pair<std::string, double>> name_of(std::string_view id, std::string_view kind, int channel,
                                                               std::string_view quantity) {
    if (kind != "emeter") {
      if (quantity == "power") return std::pair(of_channel("power_total", channel, false), 1.);
      if (quantity == "energy") return std::pair(of_channel("energy_import_total", channel, false), kPerWattMinute);
      return std::nullopt;
    }
    for (const auto& known : kGen1) {
      if (known.theirs != quantity) continue;
      // The three of an EM3 are one meter's phases; those of an EM are two meters.
      if (id.starts_with("shellyem3"))
        return std::pair(fmt::format(fmt::runtime(known.phase), channel + 1), known.scale);
      return std::pair(of_channel(known.total, channel, true), known.scale);
    }
    return std::nullopt;
  }
};

constexpr std::array<Quantity, 12> kComponent{{{"apower", "power_total", ""},
                                               {"act_power", "power_total", ""},
                                               {"aprt_power", "power_apparent_total", ""},
                                               {"voltage", "voltage_l1_n", ""},
                                               {"current", "current_l1", ""},
                                               {"pf", "power_factor_total", ""},
                                               {"freq", "frequency", ""},
                                               {"total_act_energy", "energy_import_total", "", kPerWattHour},
                                               {"total_act_ret_energy", "energy_export_total", "", kPerWattHour},
                                               {"aenergy.total", "energy_import_total", "", kPerWattHour},
                                               {"ret_aenergy.total", "energy_export_total", "", kPerWattHour},
                                               {"temperature.tC", "temperature_internal", ""}}};

constexpr std::array<Quantity, 8> kPhase{{{"act_power", "", "power_l{}"},
                                          {"aprt_power", "", "power_apparent_l{}"},
                                          {"voltage", "", "voltage_l{}_n"},
                                          {"current", "", "current_l{}"},
                                          {"pf", "", "power_factor_l{}"},
                                          {"freq", "", ""},  // the same on all three; taken once
                                          {"total_act_energy", "", "energy_import_l{}", kPerWattHour},
                                          {"total_act_ret_energy", "", "energy_export_l{}", kPerWattHour}}};

constexpr std::array<Quantity, 6> kThreePhase{{{"total_act_power", "power_total", ""},
                                               {"total_aprt_power", "power_apparent_total", ""},
                                               {"total_current", "current_sum", ""},
                                               {"n_current", "current_n", ""},
                                               {"total_act", "energy_import_total", "", kPerWattHour},
                                               {"total_act_ret", "energy_export_total", "", kPerWattHour}}};

/// The second generation and later: ID/events/rpc with {"method": "NotifyStatus", "params": {"ts", "em:0": {…}}}, which
/// says what has changed, or ID/status/COMPONENT with {…} alone. Energies are Wh.
class Shelly final : public Dialect {
 public:
  Result<std::vector<Decoded>> decode(std::string_view topic, std::string_view payload) override {
    const auto levels = levels_of(topic);
    if (levels.size() != 3) return nothing();
    try {
      Decoded decoded;
      decoded.reading.device_id = device_id_of(levels[0]);
      Flattener fields(decoded.reading.fields);
      const auto object = parser_.parse(payload);
      if (levels[1] == "status") {
        add_component(fields, levels[2], object);
      } else {
        std::string_view method;
        simdjson::dom::object params;
        if (object["method"].get(method) != simdjson::SUCCESS || !method.starts_with("Notify") ||
            object["params"].get(params) != simdjson::SUCCESS)
          return nothing();
        if (method == "NotifyEvent") return nothing();
        for (const auto& [name, element] : params) {
          simdjson::dom::object component;
          if (element.get(component) == simdjson::SUCCESS) add_component(fields, name, component);
        }
        note_stamp(params, decoded);
      }
      return only(std::move(decoded));
    } catch (const BadPayload& problem) {
      return fail(ErrorKind::permanent, problem.why);
    }
  }

  std::optional<std::string> device_in(std::string_view topic) const override {
    return device_id_of(topic.substr(0, topic.find('/')));
  }

 private:
  /// A device that nobody has told the time counts from its start.
  static void note_stamp(simdjson::dom::object params, Decoded& decoded) {
    constexpr double kYear2020 = 1'577'836'800;
    simdjson::dom::element stamp;
    if (params["ts"].get(stamp) != simdjson::SUCCESS) return;
    const auto seconds = number_in(stamp);
    if (!seconds || *seconds < kYear2020) return;
    decoded.reading.at = stamp_from(stamp);
    decoded.has_stamp = true;
  }

  static std::optional<double> value_at(simdjson::dom::object component, std::string_view path) {
    simdjson::dom::element element;
    const auto dot = path.find('.');
    if (component[path.substr(0, dot)].get(element) != simdjson::SUCCESS) return std::nullopt;
    if (dot == std::string_view::npos) return number_in(element);
    simdjson::dom::object inner;
    if (element.get(inner) != simdjson::SUCCESS || inner[path.substr(dot + 1)].get(element) != simdjson::SUCCESS)
      return std::nullopt;
    return number_in(element);
  }

  static void add_component(Flattener& fields, std::string_view name, simdjson::dom::object component) {
    const auto colon = name.find(':');
    const auto kind = name.substr(0, colon);
    const auto channel = colon == std::string_view::npos ? std::optional(0) : number_of(name.substr(colon + 1));
    if (!channel) return;
    if (kind == "em" || kind == "emdata") return add_three_phases(fields, component, *channel);
    const bool is_meter = kind == "em1" || kind == "em1data";
    if (!is_meter && kind != "switch" && kind != "pm1" && kind != "cover" && kind != "light") return;
    for (const auto& known : kComponent) {
      if (const auto value = value_at(component, known.theirs))
        fields.leaf(of_channel(known.total, *channel, is_meter), *value * known.scale);
    }
    if (bool output; component["output"].get(output) == simdjson::SUCCESS)
      fields.leaf(of_channel("output", *channel, is_meter), output);
  }

  static void add_three_phases(Flattener& fields, simdjson::dom::object component, int channel) {
    const auto add = [&](std::string_view name, std::optional<double> value, double scale) {
      if (value) fields.leaf(of_channel(name, channel, false), *value * scale);
    };
    for (int phase = 0; phase < 3; ++phase) {
      for (const auto& known : kPhase) {
        const auto theirs = fmt::format("{}_{}", static_cast<char>('a' + phase), known.theirs);
        if (known.phase.empty() && phase > 0) continue;
        const auto ours = known.phase.empty() ? "frequency" : fmt::format(fmt::runtime(known.phase), phase + 1);
        add(ours, value_at(component, theirs), known.scale);
      }
    }
    for (const auto& known : kThreePhase) add(known.total, value_at(component, known.theirs), known.scale);
  }

  ObjectParser parser_;
};

}  // namespace

std::unique_ptr<Dialect> shelly_gen1() { return std::make_unique<ShellyGen1>(); }
std::unique_ptr<Dialect> shelly() { return std::make_unique<Shelly>(); }

}  // namespace wattd::drivers::mqtt
