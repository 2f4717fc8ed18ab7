#pragma once
#include <span>
#include <vector>

#include "storage/segment.h"

namespace wattd::storage {

/// Reads the body of a segment of version 1, as wattd 0.1.0 wrote it.
/// Errors: throws BadBytes.
std::vector<Block> read_segment_v1(std::span<const std::uint8_t> body, const WantsDevice& wants);

}  // namespace wattd::storage
