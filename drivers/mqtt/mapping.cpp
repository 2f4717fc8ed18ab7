#include <fmt/format.h>

#include <map>

#include "drivers/mqtt/dialect.h"
#include "drivers/mqtt/json_fields.h"
#include "drivers/mqtt/levels.h"
#include "telemetry/measurand.h"

namespace wattd::drivers::mqtt {
namespace {

/// Payloads as a configuration describes them.
class Mapped final : public Dialect {
 public:
  explicit Mapped(Mapping mapping) : mapping_(std::move(mapping)) {}

  Result<std::vector<Decoded>> decode(std::string_view topic, std::string_view payload) override {
    try {
      Decoded decoded;
      decoded.reading.device_id = device_in(topic).value_or("");
      Flattener fields(decoded.reading.fields);
      if (mapping_.fields.size() == 1 && mapping_.fields[0].pointer.empty()) {
        const auto& field = mapping_.fields[0];
        const auto number = number_in(payload);
        if (!number) throw BadPayload{fmt::format("{:?} is not a number", payload.substr(0, 40))};
        fields.leaf(filled(field.name, topic), *number * field.scale + field.offset);
      } else {
        add_pointed(fields, topic, payload, decoded);
      }
      return only(std::move(decoded));
    } catch (const BadPayload& problem) {
      return fail(ErrorKind::permanent, problem.why);
    }
  }

  std::optional<std::string> device_in(std::string_view topic) const override {
    return device_id_of(filled(mapping_.device, topic));
  }

 private:
  void add_pointed(Flattener& fields, std::string_view topic, std::string_view payload, Decoded& decoded) {
    const auto root = parser_.parse_any(payload);
    for (const auto& field : mapping_.fields) {
      simdjson::dom::element element;
      if (root.at_pointer(field.pointer).get(element) != simdjson::SUCCESS || element.is_null()) continue;
      auto number = number_in(element);
      // Many a publisher writes its numbers in quotes.
      if (std::string_view text; !number && element.get(text) == simdjson::SUCCESS) number = number_in(text);
      const auto name = filled(field.name, topic);
      if (number) {
        fields.leaf(name, *number * field.scale + field.offset);
      } else if (field.scale != 1 || field.offset != 0 || find_measurand(name)) {
        throw BadPayload{fmt::format("{} at {} is no number", name, field.pointer)};
      } else {
        fields.add({}, name, element);
      }
    }
    if (decoded.reading.fields.empty())
      throw BadPayload{fmt::format("none of the mapped values is there; the first is expected at {}",
                                   mapping_.fields.front().pointer)};
    simdjson::dom::element stamp;
    if (mapping_.timestamp.empty() || root.at_pointer(mapping_.timestamp).get(stamp) != simdjson::SUCCESS) return;
    decoded.reading.at = stamp_from(stamp);
    decoded.has_stamp = true;
  }

  /// A text with the topic's levels in place of their names.
  std::string filled(const std::string& text, std::string_view topic) const {
    if (text.find('{') == std::string::npos) return text;
    const auto names = levels_of(mapping_.topic);
    const auto levels = levels_of(topic);
    auto result = text;
    for (std::size_t i = 0; i < std::min(names.size(), levels.size()); ++i) {
      if (names[i].empty() || names[i].front() != '{') continue;
      for (std::size_t at = 0; (at = result.find(names[i], at)) != std::string::npos; at += levels[i].size())
        result.replace(at, names[i].size(), levels[i]);
    }
    return result;
  }

  Mapping mapping_;
  ObjectParser parser_;
};

}  // namespace

std::unique_ptr<Dialect> mapped(Mapping mapping) { return std::make_unique<Mapped>(std::move(mapping)); }

}  // namespace wattd::drivers::mqtt
