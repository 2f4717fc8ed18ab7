#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/counter.h"
#include "telemetry/error.h"
#include "telemetry/reading.h"

namespace wattd {

enum class FieldType { number, integer, boolean, text };
std::string_view to_string(FieldType type);

/// What one field of a device type has to be.
struct FieldRule {
  std::string name;
  FieldType type = FieldType::number;
  bool required = false;
  std::optional<double> min;  ///< Inclusive, in `unit`.
  std::optional<double> max;  ///< Inclusive, in `unit`.
  std::string measurand;      ///< Of the vocabulary; empty when the field has none there.
  std::string unit;
  CounterRules counter;  ///< Of a counter; all 0 where nothing is known.
};

/// What is known of a series beside its readings.
struct SeriesFacts {
  std::string measurand;  ///< Of the vocabulary; empty for none.
  CounterRules counter;
  bool operator==(const SeriesFacts&) const = default;
};

/// What readings of one device type have to look like. Fields it does not name are kept as they are.
struct Schema {
  std::string device_type;
  std::string version = "v1";
  bool stamp_required = false;  ///< The payload must carry a timestamp of its own.
  std::vector<FieldRule> fields;

  const FieldRule* find(std::string_view field) const;
};

/// The strict schema of the electric bulb with its meter: voltage 200 to 250 V, current 0 to 2 A,
/// power 0 to 500 W, temperature 20 to 80 degC, all required, and a timestamp.
Schema bulb_schema();

/// Holds a reading against its schema.
/// Errors: permanent; the message names every field that is wrong, what it is and what was expected.
Result<void> validate(const Reading& reading, const Schema& schema);

}  // namespace wattd
