#pragma once
#include <span>
#include <string>
#include <vector>

#include "telemetry/device.h"
#include "telemetry/error.h"

namespace wattd {

/// A meter whose energy is a part of something, added or taken away.
struct MeterTerm {
  std::string device_id;
  int sign = 1;
  bool operator==(const MeterTerm&) const = default;
};

/// What the energy of a device is made of: itself, or for a virtual meter the meters of its formula, such as
/// `MAIN - HVAC + PV`, virtual ones among them resolved.
/// Shape: ids with spaces or signs stand in double quotes.
/// Errors: permanent for an unknown device, a formula that cannot be read, and one that refers to itself.
Result<std::vector<MeterTerm>> terms_of(const std::string& device_id, std::span<const Device> devices);

/// What the energy of a building is made of: its meters that stand below no other of its meters, so that nothing is
/// counted twice; virtual meters count nothing of their own.
/// Errors: permanent for a building without a meter.
Result<std::vector<MeterTerm>> terms_of_building(const std::string& building, std::span<const Device> devices);

}  // namespace wattd
