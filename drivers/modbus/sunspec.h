#pragma once
#include <vector>

#include "drivers/modbus/link.h"
#include "drivers/modbus/profile.h"

namespace wattd::drivers::modbus {

/// One block of a SunSpec device's register map.
struct SunspecModel {
  int id = 0;
  int address = 0;  ///< Of its header: the id, then the length.
  int length = 0;   ///< Registers behind the header.
  bool operator==(const SunspecModel&) const = default;
};

/// The models of a device, in their order: from the marker "SunS" at 40000, 50000 or 0 to the end.
/// Shape: at most 100. Errors: unsupported when no marker is there; else as of Link::read.
/// Source: SunSpec Device Information Model Specification 1.2, section 6.
Result<std::vector<SunspecModel>> walk_sunspec(Link& link, int unit);

/// What has to be added to a profile's addresses: where the first of its SunSpec models begins, or a later one with
/// `instance`, counted from 1; 0 for a profile that has none.
/// Errors: as of walk_sunspec; unsupported when the device has not so many such models.
Result<int> base_of(Link& link, int unit, const Profile& profile, int instance = 1);

}  // namespace wattd::drivers::modbus
