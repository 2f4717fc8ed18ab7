#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "telemetry/counter.h"
#include "telemetry/reading.h"
#include "telemetry/schema.h"

namespace wattd::pipeline {

/// Puts beside each counter of energy what it has counted all in all: a value that never falls, whatever the counter
/// does. `energy_import_total` gets `energy_import_total_adjusted`, which begins at the first reading's value.
///
/// A reading that is not believed yet, comes late, or was stamped by a clock that nothing vouches for gets none:
/// absence is absence. Where the last digit trembles the old value holds, marked `substituted`. What is told here is a
/// function of the stored readings in their order, so after a restart it goes on where it stood.
/// Threads: one. Source: docs/measurands.md, "Counters".
class AdjustedCounters {
 public:
  using FactsOf = std::function<std::optional<SeriesFacts>(std::string_view device, std::string_view field)>;
  /// Gives the stored readings of a device, from one whose counters were all believed up to the newest, in order.
  using Past = std::function<void(const std::string& device, const std::function<void(const Reading&)>& take)>;

  AdjustedCounters(FactsOf facts_of, Past past) : facts_of_(std::move(facts_of)), past_(std::move(past)) {}

  /// Adds to a reading what its counters have counted, and marks them `reset` where the meter's serial number is
  /// another one than before.
  void add_to(Reading& reading);
  /// Takes note of a stored reading, before anything newer of its device is added to.
  void recall(const Reading& stored);
  /// What is known of the series has changed.
  void forget_facts();

 private:
  struct Field {
    std::string name;
    std::string adjusted;  ///< Empty where the field is no counter of energy.
    bool is_serial = false;
    bool begins_anew = false;  ///< The meter was replaced, and this counter has not been read since.
    Counter counter{{}};
    std::optional<std::int64_t> total;  ///< Units: as of Increment.
  };
  struct Device {
    bool is_recalled = false;
    std::string serial;
    std::vector<Field> fields;
  };

  Field make(const std::string& device, std::string_view name) const;
  Field& field_of(const std::string& device_id, Device& device, std::string_view name, std::size_t at) const;
  void note_serial(const std::string& device_id, Device& device, const Reading& reading) const;
  static std::optional<wattd::Field> adjust(Field& known, wattd::Field& raw, Timestamp at, Quality quality);

  FactsOf facts_of_;
  Past past_;
  std::unordered_map<std::string, Device> devices_;
};

}  // namespace wattd::pipeline
