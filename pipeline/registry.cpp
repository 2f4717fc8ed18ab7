#include "pipeline/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "telemetry/identity.h"
#include "telemetry/log.h"
#include "telemetry/reading.h"

namespace wattd::pipeline {
namespace {

constexpr std::size_t kMaxFieldsOfDevice = 1'000;
constexpr std::size_t kMaxFields = 100'000;
constexpr std::size_t kMaxDevices = 10'000;  // a publisher that invents ids must not fill the memory

Device parse_device(const config::Table& table) {
  Device device;
  device.id = table.text("id");
  if (!is_valid_device_id(device.id)) table.fail("id", "expected 1 to 50 printable characters without / + #");
  device.name = table.text("name", device.id);
  device.type = table.text("type", device.type);
  device.tenant = table.text("tenant", device.tenant);
  device.building = table.text("building", "");
  device.location = table.text("location", "");
  device.manufacturer = table.text("manufacturer", "");
  device.model = table.text("model", "");
  device.status = table.choice<DeviceStatus>("status",
                                             {{"active", DeviceStatus::active},
                                              {"inactive", DeviceStatus::inactive},
                                              {"maintenance", DeviceStatus::maintenance}},
                                             DeviceStatus::active);
  device.stamp = table.choice<StampSource>(
      "stamp", {{"device", StampSource::device}, {"arrival", StampSource::arrival}}, StampSource::device);
  device.role = table.choice<MeterRole>(
      "role", {{"main", MeterRole::main}, {"sub", MeterRole::sub}, {"virtual", MeterRole::virtual_meter}},
      MeterRole::main);
  device.parent_id = table.text("parent", "");
  device.formula = table.text("formula", "");
  if ((device.role == MeterRole::virtual_meter) == device.formula.empty()) {
    table.fail("formula", "a virtual meter has a formula, and only a virtual one has");
  }
  device.enrichment = EnrichmentStatus::success;
  device.origin = table.origin();
  table.reject_unknown_keys();
  return device;
}

FieldRule parse_field(const std::string& name, const config::Table& table) {
  FieldRule rule{.name = name};
  rule.type = table.choice<FieldType>("type",
                                      {{"number", FieldType::number},
                                       {"integer", FieldType::integer},
                                       {"boolean", FieldType::boolean},
                                       {"text", FieldType::text}},
                                      FieldType::number);
  rule.required = table.boolean("required", false);
  if (table.has("min")) rule.min = table.number("min");
  if (table.has("max")) rule.max = table.number("max");
  if (rule.min && rule.max && *rule.min > *rule.max) table.fail("max", "expected at least min");
  rule.measurand = table.text("measurand", "");
  rule.unit = table.text("unit", "");
  table.reject_unknown_keys();
  return rule;
}

Schema parse_schema(const std::string& type, const config::Table& table) {
  Schema schema{.device_type = type};
  schema.version = table.text("version", schema.version);
  schema.stamp_required = table.boolean("timestamp_required", false);
  for (const auto& [name, field] : table.table("fields").named_tables())
    schema.fields.push_back(parse_field(name, field));
  table.reject_unknown_keys();
  return schema;
}

void check_tree(const config::Table& root, const std::vector<Device>& devices) {
  std::map<std::string, std::string> parent;
  for (const auto& device : devices) {
    if (!parent.emplace(device.id, device.parent_id).second) {
      root.fail("devices", fmt::format("{} appears twice ({})", device.id, device.origin));
    }
  }
  for (const auto& device : devices) {
    std::set<std::string> above;
    for (auto id = device.id; !id.empty(); id = parent.at(id)) {
      if (!parent.contains(id)) root.fail("devices", fmt::format("{}: parent {} is not a device", device.origin, id));
      if (!above.insert(id).second) root.fail("devices", fmt::format("{}: {} is above itself", device.origin, id));
    }
  }
}

}  // namespace

RegistryConfig parse_registry(const config::Table& root) {
  RegistryConfig registry;
  const auto section = root.table("registry");
  registry.auto_create = section.boolean("auto_create", true);
  registry.default_type = section.text("default_type", registry.default_type);
  registry.default_location = section.text("default_location", "");
  section.reject_unknown_keys();
  for (const auto& table : root.tables("devices")) registry.devices.push_back(parse_device(table));
  check_tree(root, registry.devices);
  for (const auto& [type, table] : root.table("schemas").named_tables())
    registry.schemas.push_back(parse_schema(type, table));
  return registry;
}

Registry::Registry(RegistryConfig config, std::vector<Device> stored, Timestamp now) {
  for (auto& device : stored) {
    const auto id = device.id;
    devices_.emplace(id, std::move(device));
  }
  configure(std::move(config), now);
}

void Registry::configure(RegistryConfig config, Timestamp now) {
  config_ = std::move(config);
  schemas_.clear();
  auto bulb = bulb_schema();
  schemas_.emplace(bulb.device_type, bulb);
  for (const auto& schema : config_.schemas) schemas_.insert_or_assign(schema.device_type, schema);

  std::set<std::string> provisioned;
  for (const auto& device : config_.devices) {
    provisioned.insert(device.id);
    put(device, now);
  }
  std::vector<Device> gone;
  for (const auto& [id, device] : devices_) {
    if (!device.origin.empty() && !provisioned.contains(id) && device.status != DeviceStatus::inactive)
      gone.push_back(device);
  }
  for (auto& device : gone) {
    device.status = DeviceStatus::inactive;
    put(std::move(device), now);
  }
}

void Registry::put(Device device, Timestamp now) {
  if (const auto* schema = schema_of(device.type)) device.schema_version = schema->version;
  const auto known = devices_.find(device.id);
  if (known != devices_.end()) {
    const auto& old = known->second;
    device.created_at = old.created_at;
    device.updated_at = old.updated_at;
    device.version = old.version;
    // A file does not bring back what a person deleted.
    device.deleted_at = old.deleted_at;
    if (device == old) return;
    if (!same_when_sent(device, old)) device.version = old.version + 1;
  } else {
    device.version = 1;
    device.created_at = now;
  }
  device.updated_at = now;
  changes_.push_back(device);
  const std::scoped_lock lock(mutex_);
  devices_.insert_or_assign(device.id, std::move(device));
}

Result<const Device*> Registry::admit(const std::string& id) {
  auto known = devices_.find(id);
  if (known == devices_.end()) {
    if (!is_valid_device_id(id)) {
      return fail(ErrorKind::permanent,
                  "the device id is unusable; expected 1 to 50 printable characters without / + #");
    }
    if (!config_.auto_create) {
      return fail(ErrorKind::permanent, fmt::format("device {} is unknown and registry.auto_create is off", id));
    }
    if (devices_.size() >= kMaxDevices) {
      return fail(ErrorKind::permanent, fmt::format("device {} would be one more than {} devices", id, kMaxDevices));
    }
    unborn_ = {.id = id, .name = id, .type = config_.default_type, .location = config_.default_location, .version = 1};
    return &unborn_;
  }
  if (known->second.deleted_at) {
    return fail(ErrorKind::permanent,
                fmt::format("device {} was deleted on {}", id, format_iso8601(*known->second.deleted_at)));
  }
  return &known->second;
}

Result<void> Registry::admit_fields(const Reading& reading) const {
  const auto device = fields_.find(reading.device_id);
  std::size_t fresh = 0;
  for (const auto& field : reading.fields) {
    fresh += device == fields_.end() || !device->second.contains(fnv1a(field.name));
  }
  if (fresh == 0) return {};
  const auto known = device == fields_.end() ? 0 : device->second.size();
  if (known + fresh > kMaxFieldsOfDevice) {
    return fail(ErrorKind::permanent, fmt::format("device {} has {} fields and would get {} more; at most {} are kept",
                                                  reading.device_id, known, fresh, kMaxFieldsOfDevice));
  }
  if (field_count_ + fresh > kMaxFields) {
    return fail(ErrorKind::permanent, fmt::format("all devices together would have more than {} fields", kMaxFields));
  }
  return {};
}

void Registry::note_field(const std::string& device_id, std::string_view field) {
  field_count_ += fields_[device_id].insert(fnv1a(field)).second;
}

const Device& Registry::adopt(const Reading& reading, Timestamp now) {
  auto known = devices_.find(reading.device_id);
  if (known == devices_.end()) {
    const auto& id = reading.device_id;
    put({.id = id, .name = id, .type = config_.default_type, .location = config_.default_location}, now);
    known = devices_.find(id);
    log::info(fmt::format("device {} is new, of type {}", id, config_.default_type), {{"DEVICE_ID", id}});
  }
  for (const auto& field : reading.fields) note_field(reading.device_id, field.name);
  return known->second;
}

const Schema* Registry::schema_of(const std::string& device_type) const {
  const auto found = schemas_.find(device_type);
  return found == schemas_.end() ? nullptr : &found->second;
}

std::string Registry::measurand_of(std::string_view device_id, std::string_view field) const {
  const auto device = devices_.find(std::string(device_id));
  const auto* schema = device == devices_.end() ? nullptr : schema_of(device->second.type);
  const auto* rule = schema == nullptr ? nullptr : schema->find(field);
  return rule == nullptr ? std::string{} : rule->measurand;
}

void Registry::note_reading(const std::string& id, Timestamp at) {
  const std::scoped_lock lock(mutex_);
  auto& seen = seen_[id];
  seen.last = seen.last ? std::max(*seen.last, at) : at;
  seen.readings += 1;
}

void Registry::note_rejected(const std::string& id) {
  const std::scoped_lock lock(mutex_);
  if (devices_.contains(id)) seen_[id].rejected += 1;
}

std::vector<DeviceActivity> Registry::activity() const {
  const std::scoped_lock lock(mutex_);
  std::vector<DeviceActivity> list;
  list.reserve(devices_.size());
  for (const auto& [id, device] : devices_) {
    const auto seen = seen_.find(id);
    list.push_back({device, {}, 0, 0});
    if (seen == seen_.end()) continue;
    list.back().last_seen = seen->second.last;
    list.back().readings = seen->second.readings;
    list.back().rejected = seen->second.rejected;
  }
  std::ranges::sort(list, {}, [](const DeviceActivity& entry) { return entry.device.id; });
  return list;
}

}  // namespace wattd::pipeline
