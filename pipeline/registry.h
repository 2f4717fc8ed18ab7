#pragma once
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "config/table.h"
#include "pipeline/health.h"
#include "telemetry/device.h"
#include "telemetry/error.h"
#include "telemetry/reading.h"
#include "telemetry/schema.h"

namespace wattd::pipeline {

/// What is known of one counter of one device; it counts for more than what the device's type says.
struct CounterOfDevice {
  std::string device_id;
  std::string field;  ///< Empty: all of its counters of energy.
  CounterRules rules;
};

/// Devices and schemas as the configuration gives them.
struct RegistryConfig {
  bool auto_create = true;               ///< A device unknown so far is born from its first message.
  std::string default_type = "generic";  ///< Of such a device.
  std::string default_location;
  std::vector<Device> devices;  ///< Provisioned ones.
  std::vector<Schema> schemas;
  std::vector<CounterOfDevice> counters;
};

/// Reads [registry], [[devices]] and [schemas.TYPE]. Errors: throws config::ConfigError.
RegistryConfig parse_registry(const config::Table& root);

/// What a device has been doing, for status and metrics.
struct DeviceActivity {
  Device device;
  std::optional<Timestamp> last_seen;
  std::uint64_t readings = 0;
  std::uint64_t rejected = 0;
  std::optional<Health> health;  ///< Nothing while nobody can know.
};

/// Every device the gateway knows, in memory; the catalogue on disk follows with the next group.
/// Threads: activity() and devices() any; everything else the pipeline's.
class Registry {
 public:
  /// Takes over what is stored. Changed records wait in take_changes().
  Registry(RegistryConfig config, std::vector<Device> stored, Timestamp now);

  /// Applies a new configuration: what left the files becomes inactive, it is not deleted.
  void configure(RegistryConfig config, Timestamp now);

  /// The device of a message; for one that is unknown and may be born, what its record would be.
  /// Errors: permanent: deleted, unknown with auto_create off, or an unusable id.
  Result<const Device*> admit(const std::string& id);
  /// Whether the gateway has room for the fields of a reading: at most 1,000 a device and 100,000 in all, lest a
  /// publisher that invents names fill the memory. Errors: permanent.
  Result<void> admit_fields(const Reading& reading) const;
  /// Makes the record of a device that was born with this reading, and notes its fields.
  const Device& adopt(const Reading& reading, Timestamp now);
  void note_field(const std::string& device_id, std::string_view field);
  /// The schema of a device type; null when there is none.
  const Schema* schema_of(const std::string& device_type) const;

  /// What the device's type and its own [[devices.counters]] say of a field; nothing for a device that has left the
  /// configuration: what was known of it stays true.
  std::optional<SeriesFacts> facts_of(std::string_view device_id, std::string_view field) const;

  /// Records to be written before the next readings.
  bool has_changes() const { return !changes_.empty(); }
  std::vector<Device> take_changes() { return std::exchange(changes_, {}); }
  void note_reading(const Reading& reading, Instant now);
  void note_rejected(const std::string& id, Instant now);

  std::vector<DeviceActivity> activity(Instant now) const;
  /// Every record there is.
  std::vector<Device> devices() const;

 private:
  struct Seen {
    std::optional<Timestamp> last;
    std::uint64_t readings = 0;
    std::uint64_t rejected = 0;
    HealthTracker health;
  };

  /// Stores the record if it says anything new, with a new version when what is sent beside the key changed.
  void put(Device device, Timestamp now);

  RegistryConfig config_;
  std::map<std::string, Schema> schemas_;
  std::vector<Device> changes_;
  Device unborn_;  ///< What admit() answers for a device without a record.
  std::unordered_map<std::string, std::unordered_set<std::uint64_t>> fields_;  ///< Hashes of names.
  std::size_t field_count_ = 0;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Device> devices_;  ///< Guarded by mutex_ where it is written.
  std::unordered_map<std::string, Seen> seen_;       ///< Guarded by mutex_.
};

}  // namespace wattd::pipeline
