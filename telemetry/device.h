#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "telemetry/time.h"

namespace wattd {

enum class DeviceStatus { active, inactive, maintenance, error };
std::string_view to_string(DeviceStatus status);
std::optional<DeviceStatus> device_status_from(std::string_view text);

/// How far the gateway knew the device when a reading came.
/// success: a person or a file described it; skipped: it was born from its first message.
enum class EnrichmentStatus { pending, success, failed, timeout, skipped };
std::string_view to_string(EnrichmentStatus status);

/// Where the stamp of a reading comes from when the device sends one.
enum class StampSource { device, arrival };

/// The place of a meter in the tree, so that a building counts no kWh twice.
enum class MeterRole { main, sub, virtual_meter };
std::string_view to_string(MeterRole role);

/// What the gateway knows about a device: the columns of the catalogue's `devices` table.
/// Shape: `id` is unique on a gateway, at most 50 characters, and never changes.
struct Device {
  std::string id;
  std::string name;
  std::string type = "generic";
  std::string tenant = "default";
  std::string building;  ///< Empty: none.
  std::string location;
  std::string manufacturer;
  std::string model;
  std::string metadata_json = "{}";
  DeviceStatus status = DeviceStatus::active;
  std::string schema_version = "v1";
  EnrichmentStatus enrichment = EnrichmentStatus::skipped;
  StampSource stamp = StampSource::device;
  MeterRole role = MeterRole::main;
  std::string parent_id;      ///< The meter above this one; empty for none.
  std::string formula;        ///< Of a virtual meter.
  std::string origin;         ///< `file:line` that provisioned it; empty when it lives in the database alone.
  std::uint32_t version = 0;  ///< Raised whenever a field that is sent beside the key changes.
  Timestamp created_at{};
  Timestamp updated_at{};
  std::optional<Timestamp> deleted_at;

  bool operator==(const Device&) const = default;
};

/// Whether two records would be sent upstream alike, so that no new version is needed.
inline bool same_when_sent(const Device& a, const Device& b) {
  return a.type == b.type && a.location == b.location && a.schema_version == b.schema_version &&
         a.enrichment == b.enrichment;
}

}  // namespace wattd
