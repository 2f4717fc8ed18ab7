#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/quality.h"
#include "telemetry/time.h"
#include "telemetry/value.h"

namespace wattd {

/// One named value of a Reading, under the name it arrived with.
struct Field {
  std::string name;
  Value value;
  Quality quality = Quality::good;

  bool operator==(const Field&) const = default;
};

/// What one device said at one instant.
/// Shape: fields in order of arrival, names unique within a reading, nested names joined with dots.
struct Reading {
  std::string device_id;
  Timestamp at{};                    ///< When it was true; with the device and a field, the key of a sample.
  Timestamp received{};              ///< When it reached the gateway.
  std::uint32_t device_version = 0;  ///< The version of the device's record of that moment; 0 until enriched.
  Quality quality = Quality::good;   ///< Holds for every field, beside the field's own.
  std::vector<Field> fields;

  const Field* find(std::string_view name) const {
    for (const auto& field : fields) {
      if (field.name == name) return &field;
    }
    return nullptr;
  }
  bool operator==(const Reading&) const = default;
};

/// How many of the reading's fields are numbers: the samples that every sink can hold.
inline std::size_t numeric_samples(const Reading& reading) {
  std::size_t count = 0;
  for (const auto& field : reading.fields) count += is_number(field.value);
  return count;
}

/// One field of one device.
struct Series {
  std::string device_id;
  std::string field;
  auto operator<=>(const Series&) const = default;
};

/// One timestamp and value of a Series.
struct Sample {
  Timestamp at;
  Value value;
  Quality quality = Quality::good;
  bool operator==(const Sample&) const = default;
};

/// A device id names one device on this gateway for ever: 1 to 50 characters of printable
/// UTF-8 without MQTT's `/ + #`.
bool is_valid_device_id(std::string_view id);

}  // namespace wattd
