#include "telemetry/schema.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace wattd {
namespace {

bool has_type(const Value& value, FieldType type) {
  switch (type) {
    case FieldType::number: return is_number(value);
    case FieldType::integer:
      if (const auto* number = std::get_if<double>(&value)) return std::trunc(*number) == *number;
      return std::holds_alternative<std::int64_t>(value);
    case FieldType::boolean: return std::holds_alternative<bool>(value);
    case FieldType::text: return std::holds_alternative<std::string>(value);
  }
  return false;
}

std::string range_of(const FieldRule& rule) {
  const auto unit = rule.unit.empty() || rule.unit == "1" ? "" : " " + rule.unit;
  if (rule.min && rule.max) return fmt::format("{} to {}{}", *rule.min, *rule.max, unit);
  if (rule.min) return fmt::format("at least {}{}", *rule.min, unit);
  return fmt::format("at most {}{}", *rule.max, unit);
}

/// What is wrong with one field; empty when nothing is.
std::string complaint(const Reading& reading, const FieldRule& rule) {
  const Field* field = reading.find(rule.name);
  if (field == nullptr) return rule.required ? fmt::format("{} is missing", rule.name) : std::string{};
  if (!has_type(field->value, rule.type)) {
    return fmt::format("{} is {:?}; expected {} {}", rule.name, to_text(field->value),
                       rule.type == FieldType::integer ? "an" : "a", to_string(rule.type));
  }
  const auto number = as_number(field->value);
  if (!number) return {};
  if ((rule.min && !(*number >= *rule.min)) || (rule.max && !(*number <= *rule.max))) {
    return fmt::format("{} is {}; expected {}", rule.name, to_text(field->value), range_of(rule));
  }
  return {};
}

}  // namespace

std::string_view to_string(FieldType type) {
  static constexpr std::array<std::string_view, 4> kNames{"number", "integer", "boolean", "text"};
  return kNames[static_cast<std::size_t>(type)];
}

const FieldRule* Schema::find(std::string_view field) const {
  for (const auto& rule : fields) {
    if (rule.name == field) return &rule;
  }
  return nullptr;
}

Schema bulb_schema() {
  const auto required = [](std::string name, double min, double max, std::string measurand, std::string unit) {
    return FieldRule{std::move(name), FieldType::number, true, min, max, std::move(measurand), std::move(unit)};
  };
  return {.device_type = "bulb",
          .version = "v1",
          .stamp_required = true,
          .fields = {required("voltage", 200, 250, "voltage_l1_n", "V"), required("current", 0, 2, "current_l1", "A"),
                     required("power", 0, 500, "power_total", "W"),
                     required("temperature", 20, 80, "temperature_internal", "degC")}};
}

Result<void> validate(const Reading& reading, const Schema& schema) {
  std::string complaints;
  for (const auto& rule : schema.fields) {
    const auto found = complaint(reading, rule);
    if (found.empty()) continue;
    if (!complaints.empty()) complaints += "; ";
    complaints += found;
  }
  if (complaints.empty()) return {};
  return fail(ErrorKind::permanent, complaints);
}

}  // namespace wattd
