// [registry], [[devices]] and [schemas.TYPE].
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "config/counter.h"
#include "pipeline/registry.h"
#include "telemetry/identity.h"
#include "telemetry/measurand.h"

namespace wattd::pipeline {
namespace {

/// What stands in [[devices.counters]], and what `max_power` says of all counters of energy.
void parse_counters(const config::Table& table, const Device& device, std::vector<CounterOfDevice>& counters) {
  if (table.has("max_power")) {
    const auto watts = table.number("max_power");
    if (!(watts > 0)) table.fail("max_power", "expected the most that the fuse lets through, in W");
    counters.push_back({device.id, "", {.most_an_hour = watts / 1000}});
  }
  for (const auto& counter : table.tables("counters")) {
    const auto field = counter.text("field");
    if (field.empty()) counter.fail("field", "expected the name of one of the device's fields");
    if (const auto known = find_measurand(field); known && !known->counter)
      counter.fail("field", fmt::format("{} is measured in {} and does not count", field, known->unit));
    const auto is_the_same = [&](const CounterOfDevice& other) {
      return other.device_id == device.id && other.field == field;
    };
    if (std::ranges::any_of(counters, is_the_same)) counter.fail("field", field + " has a table already");
    const auto rules = config::parse_counter_rules(counter);
    counter.reject_unknown_keys();
    if (rules == CounterRules{}) counter.fail("modulus", "expected at least one of modulus, most_an_hour, resolution");
    counters.push_back({device.id, field, rules});
  }
}

Device parse_device(const config::Table& table, std::vector<CounterOfDevice>& counters) {
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
  parse_counters(table, device, counters);
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
  rule.counter = config::parse_counter_rules(table);
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
  for (const auto& table : root.tables("devices")) registry.devices.push_back(parse_device(table, registry.counters));
  check_tree(root, registry.devices);
  for (const auto& [type, table] : root.table("schemas").named_tables())
    registry.schemas.push_back(parse_schema(type, table));
  return registry;
}

}  // namespace wattd::pipeline
