#pragma once
#include <span>
#include <vector>

#include "storage/catalogue.h"
#include "storage/segment.h"
#include "telemetry/reading.h"

namespace wattd::storage {

/// Sorts readings into the blocks of as many segments as they need: one an hour, more when an hour has very many
/// values. Series that are new get their numbers from the catalogue.
/// Errors: throws SqlError when a reading's device has no record.
std::vector<std::vector<Block>> to_segments(std::span<const Reading> readings, Catalogue& catalogue);

}  // namespace wattd::storage
