#include <fmt/format.h>

#include <array>
#include <utility>

#include "drivers/mqtt/dialect.h"
#include "drivers/mqtt/json_fields.h"
#include "drivers/mqtt/levels.h"

namespace wattd::drivers::mqtt {
namespace {

/// What WB-MAP meters call their controls; {} is a phase.
constexpr std::array<std::pair<std::string_view, std::string_view>, 13> kControls{
    {{"Urms L{}", "voltage_l{}_n"},
     {"Irms L{}", "current_l{}"},
     {"P L{}", "power_l{}"},
     {"Q L{}", "power_reactive_l{}"},
     {"S L{}", "power_apparent_l{}"},
     {"PF L{}", "power_factor_l{}"},
     {"AP energy L{}", "energy_import_l{}"},
     {"RP energy L{}", "energy_reactive_import_l{}"},
     {"Total P", "power_total"},
     {"Total Q", "power_reactive_total"},
     {"Total S", "power_apparent_total"},
     {"Total AP energy", "energy_import_total"},
     {"Frequency", "frequency"}}};

std::optional<std::string> known_control(std::string_view control) {
  for (const auto& [theirs, ours] : kControls) {
    if (theirs == control) return std::string(ours);
    const auto stem = theirs.substr(0, theirs.find('{'));
    if (stem.size() == theirs.size() || control.size() != stem.size() + 1 || !control.starts_with(stem)) continue;
    const char phase = control.back();
    if (phase >= '1' && phase <= '3') return fmt::format(fmt::runtime(ours), phase);
  }
  return std::nullopt;
}

/// "Ch 2 P L1" is of a meter's second channel. What nobody knows keeps its name.
std::string field_of(std::string_view control) {
  auto inner = control;
  std::string channel;
  if (control.starts_with("Ch ") && control.size() > 5) {
    const auto end = control.find(' ', 3);
    if (end != std::string_view::npos) channel = control.substr(3, end - 3), inner = control.substr(end + 1);
  }
  const auto known = known_control(inner);
  if (!known) return std::string(control);
  return channel.empty() ? *known : fmt::format("{}_ch{}", *known, channel);
}

/// /devices/DEVICE/controls/CONTROL: a number, or a text, as plain text.
class WirenBoard final : public Dialect {
 public:
  Result<std::vector<Decoded>> decode(std::string_view topic, std::string_view payload) override {
    const auto levels = levels_of(topic);
    if (levels.size() != 5 || levels[1] != "devices" || levels[3] != "controls" || payload.empty()) return nothing();
    Decoded decoded;
    decoded.reading.device_id = device_id_of(levels[2]);
    try {
      Flattener fields(decoded.reading.fields);
      if (!simdjson::validate_utf8(payload.data(), payload.size())) throw BadPayload{"the payload is not UTF-8"};
      const auto number = number_in(payload);
      const auto field = field_of(levels[4]);
      // "nan" or "error" where a meter did not answer: no energy, and no text either.
      if (!number && field != levels[4])
        throw BadPayload{fmt::format("{} is {:?}; expected a number", field, payload.substr(0, 40))};
      fields.leaf(field, number ? Value(*number) : Value(std::string(payload)));
    } catch (const BadPayload& problem) {
      return fail(ErrorKind::permanent, problem.why);
    }
    return only(std::move(decoded));
  }

  std::optional<std::string> device_in(std::string_view topic) const override {
    const auto levels = levels_of(topic);
    return levels.size() > 2 ? std::optional(device_id_of(levels[2])) : std::nullopt;
  }
};

}  // namespace

std::unique_ptr<Dialect> wirenboard() { return std::make_unique<WirenBoard>(); }

}  // namespace wattd::drivers::mqtt
