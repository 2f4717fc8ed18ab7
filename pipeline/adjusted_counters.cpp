#include "pipeline/adjusted_counters.h"

#include <fmt/format.h>

#include <algorithm>

#include "telemetry/log.h"
#include "telemetry/measurand.h"

namespace wattd::pipeline {
namespace {

constexpr double kMilli = 1e6;

}  // namespace

AdjustedCounters::Field AdjustedCounters::make(const std::string& device, std::string_view name) const {
  Field field{.name = std::string(name)};
  const auto facts = facts_of_(device, name).value_or(SeriesFacts{});
  const auto& called = facts.measurand.empty() ? field.name : facts.measurand;
  field.is_serial = called == "device_serial";
  const auto measurand = find_measurand(called);
  if (!measurand || !measurand->counter || !measurand->is_energy() || name.ends_with(kAdjusted)) return field;
  field.adjusted = field.name + std::string(kAdjusted);
  field.counter = Counter(facts.counter);
  return field;
}

/// Fields mostly come in the same order: `at` is where this one most likely is.
AdjustedCounters::Field& AdjustedCounters::field_of(const std::string& device_id, Device& device, std::string_view name,
                                                    std::size_t at) const {
  auto& fields = device.fields;
  if (at < fields.size() && fields[at].name == name) return fields[at];
  const auto known = std::ranges::find(fields, name, &Field::name);
  if (known != fields.end()) return *known;
  return fields.emplace_back(make(device_id, name));
}

void AdjustedCounters::note_serial(const std::string& device_id, Device& device, const Reading& reading) const {
  for (std::size_t i = 0; i < reading.fields.size(); ++i) {
    const auto& raw = reading.fields[i];
    if (!field_of(device_id, device, raw.name, i).is_serial) continue;
    const auto serial = to_text(raw.value);
    if (serial.empty() || serial == device.serial) continue;
    if (!device.serial.empty()) {
      log::notice(fmt::format("{}: the meter was replaced: its serial number was {} and is {}; its counters begin anew",
                              device_id, device.serial, serial),
                  {{"DEVICE_ID", device_id}});
      for (auto& field : device.fields) field.begins_anew = true;
    }
    device.serial = serial;
  }
}

std::optional<wattd::Field> AdjustedCounters::adjust(Field& known, wattd::Field& raw, Timestamp at, Quality quality) {
  const auto value = as_number(raw.value);
  if (known.adjusted.empty() || !value) return std::nullopt;
  if (known.begins_anew) raw.quality |= Quality::reset;
  quality |= raw.quality;
  const bool is_first = !known.counter.state().accepted;
  const auto increments = known.counter.take({at, *value}, quality);
  const auto& accepted = known.counter.state().accepted;
  if (is_first && accepted) known.total = to_milli(*value);
  if (!is_first && increments.empty()) return std::nullopt;
  if (!known.total) return std::nullopt;
  known.begins_anew = false;
  wattd::Field adjusted{.name = known.adjusted, .quality = raw.quality};
  for (const auto& increment : increments) {
    *known.total += increment.milli;
    adjusted.quality |= increment.quality;
  }
  if (accepted->value != *value) adjusted.quality |= Quality::substituted;
  adjusted.value = static_cast<double>(*known.total) / kMilli;
  return adjusted;
}

void AdjustedCounters::add_to(Reading& reading) {
  auto& device = devices_[reading.device_id];
  if (!device.is_recalled) {
    device.is_recalled = true;
    past_(reading.device_id, [this](const Reading& stored) { recall(stored); });
  }
  if (has(reading.quality, Quality::clock_unsynced)) return;  // its stamp will be another one
  note_serial(reading.device_id, device, reading);
  const auto count = reading.fields.size();
  for (std::size_t i = 0; i < count; ++i) {
    auto& known = field_of(reading.device_id, device, reading.fields[i].name, i);
    if (known.adjusted.empty() || reading.find(known.adjusted) != nullptr) continue;
    if (auto adjusted = adjust(known, reading.fields[i], reading.at, reading.quality))
      reading.fields.push_back(std::move(*adjusted));
  }
}

void AdjustedCounters::recall(const Reading& stored) {
  if (has(stored.quality, Quality::clock_unsynced)) return;
  auto& device = devices_[stored.device_id];
  for (std::size_t i = 0; i < stored.fields.size(); ++i) {
    const auto& raw = stored.fields[i];
    auto& known = field_of(stored.device_id, device, raw.name, i);
    if (known.is_serial) device.serial = to_text(raw.value);
    const auto value = as_number(raw.value);
    if (known.adjusted.empty() || !value) continue;
    const auto* adjusted = stored.find(known.adjusted);
    const auto total = adjusted == nullptr ? std::nullopt : as_number(adjusted->value);
    const bool is_exact = total && !has(adjusted->quality, Quality::substituted);
    if (is_exact || (total && !known.total)) {
      const auto counted = to_milli(*total) - known.total.value_or(to_milli(*total));
      if (has(raw.quality, Quality::reset)) known.counter.go_on({.accepted = CounterReading{stored.at, *value}});
      else known.counter.recall({stored.at, *value}, counted, adjusted->quality);
      known.total = to_milli(*total);
      device.is_recalled = device.is_recalled || is_exact;
    } else if (known.total) {
      known.counter.take({stored.at, *value}, stored.quality | raw.quality);
    }
  }
}

void AdjustedCounters::forget_facts() {
  for (auto& [id, device] : devices_) {
    for (auto& field : device.fields) {
      auto fresh = make(id, field.name);
      fresh.counter.go_on(field.counter.state());
      fresh.total = fresh.adjusted.empty() ? std::nullopt : field.total;
      fresh.begins_anew = field.begins_anew;
      field = std::move(fresh);
    }
  }
}

}  // namespace wattd::pipeline
