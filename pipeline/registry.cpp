#include "pipeline/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "config/counter.h"
#include "telemetry/identity.h"
#include "telemetry/log.h"
#include "telemetry/measurand.h"
#include "telemetry/reading.h"

namespace wattd::pipeline {
namespace {

constexpr std::size_t kMaxFieldsOfDevice = 1'000;
constexpr std::size_t kMaxFields = 100'000;
constexpr std::size_t kMaxDevices = 10'000;  // a publisher that invents ids must not fill the memory

}  // namespace

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

std::optional<SeriesFacts> Registry::facts_of(std::string_view device_id, std::string_view field) const {
  if (field.ends_with(kAdjusted)) {
    // It measures what its counter does; that one's modulus is no matter any more.
    auto facts = facts_of(device_id, field.substr(0, field.size() - kAdjusted.size()));
    if (facts && !facts->measurand.empty()) facts->measurand += kAdjusted;
    if (facts) facts->counter = {};
    return facts;
  }
  SeriesFacts facts;
  const auto device = devices_.find(std::string(device_id));
  const bool is_provisioned = device != devices_.end() && !device->second.origin.empty();
  if (is_provisioned && std::ranges::find(config_.devices, device_id, &Device::id) == config_.devices.end())
    return std::nullopt;
  const auto* schema = device == devices_.end() ? nullptr : schema_of(device->second.type);
  if (const auto* rule = schema == nullptr ? nullptr : schema->find(field)) facts = {rule->measurand, rule->counter};
  const auto measurand = find_measurand(facts.measurand.empty() ? field : std::string_view(facts.measurand));
  for (const auto& counter : config_.counters) {
    if (counter.device_id != device_id || !measurand || !measurand->counter) continue;
    if (counter.field.empty() ? measurand->is_energy() : counter.field == field)
      config::overlay(facts.counter, counter.rules);
  }
  return facts;
}

void Registry::note_reading(const Reading& reading, Instant now) {
  const std::scoped_lock lock(mutex_);
  auto& seen = seen_[reading.device_id];
  seen.last = seen.last ? std::max(*seen.last, reading.at) : reading.at;
  seen.readings += 1;
  seen.health.reading(now, std::chrono::duration_cast<std::chrono::microseconds>(reading.received - reading.at));
}

void Registry::note_rejected(const std::string& id, Instant now) {
  const std::scoped_lock lock(mutex_);
  if (!devices_.contains(id)) return;
  auto& seen = seen_[id];
  seen.rejected += 1;
  seen.health.refused(now);
}

std::vector<DeviceActivity> Registry::activity(Instant now) const {
  const std::scoped_lock lock(mutex_);
  std::vector<DeviceActivity> list;
  list.reserve(devices_.size());
  for (const auto& [id, device] : devices_) {
    const auto seen = seen_.find(id);
    list.push_back({.device = device});
    if (seen == seen_.end()) continue;
    list.back().last_seen = seen->second.last;
    list.back().readings = seen->second.readings;
    list.back().rejected = seen->second.rejected;
    list.back().health = seen->second.health.health(now);
  }
  std::ranges::sort(list, {}, [](const DeviceActivity& entry) { return entry.device.id; });
  return list;
}

std::vector<Device> Registry::devices() const {
  const std::scoped_lock lock(mutex_);
  std::vector<Device> all;
  all.reserve(devices_.size());
  for (const auto& [id, device] : devices_) all.push_back(device);
  return all;
}

}  // namespace wattd::pipeline
