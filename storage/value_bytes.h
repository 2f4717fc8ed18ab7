#pragma once
#include <vector>

#include "storage/block.h"
#include "telemetry/bytes.h"

namespace wattd::storage {

/// Reads one value as segments have it: a double of 8 bytes, a zigzag integer, a boolean byte, or a text with its
/// length. Errors: throws BadBytes, also for a kind that nobody knows.
Value read_value(ByteReader& in, Kind kind);

/// Reads the qualities of so many rows; none when all are good.
/// Errors: throws BadBytes.
std::vector<Quality> read_qualities(ByteReader& in, std::size_t rows);

}  // namespace wattd::storage
