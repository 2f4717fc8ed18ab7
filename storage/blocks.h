#pragma once
#include <span>
#include <vector>

#include "storage/block.h"
#include "storage/catalogue.h"
#include "telemetry/reading.h"

namespace wattd::storage {

/// Sorts readings into one block a device, devices in the order of their keys. Series that are new get their numbers
/// from the catalogue.
/// Errors: throws SqlError when a reading's device has no record.
std::vector<Block> to_blocks(std::span<const Reading> readings, Catalogue& catalogue);

}  // namespace wattd::storage
