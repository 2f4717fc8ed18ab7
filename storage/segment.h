#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "storage/block.h"
#include "telemetry/error.h"

namespace wattd::storage {

/// What a group commit writes to the ring: the blocks of its devices, each device once.
/// Format: docs/formats/segment.md.
std::vector<std::uint8_t> encode_segment(std::span<const Block> blocks);

/// Which devices a reader wants; blocks of others are skipped without being decoded.
using WantsDevice = std::function<bool(std::uint32_t device_key)>;

/// Reads what encode_segment wrote, with every version ever released.
/// Shape: `received_us` is there, in whole milliseconds after the stamp.
/// Errors: corrupt; hostile bytes cost neither a crash nor unbounded memory (4 Mi values at the most).
Result<std::vector<Block>> decode_segment(std::span<const std::uint8_t> bytes, const WantsDevice& wants = {});

}  // namespace wattd::storage
