#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "storage/block.h"
#include "telemetry/error.h"

namespace wattd::storage {

/// The most rows that a chunk may have.
inline constexpr std::size_t kMaxChunkRows = 65'536;

/// What a chunk says of one series without being decoded.
/// Shape: `numbers` counts the finite ones, of which min, max and sum tell; `values` counts all.
struct Summary {
  std::uint32_t series_id = 0;
  std::uint64_t values = 0;
  std::uint64_t numbers = 0;
  double min = 0, max = 0, sum = 0;
  Quality quality = Quality::good;  ///< Every flag that any of its values carries.
  bool operator==(const Summary&) const = default;
};

/// What stands beside a chunk's body.
/// Units: microseconds since 1970 UTC, both ends among the stamps.
struct ChunkHead {
  std::int64_t from_us = 0;
  std::int64_t to_us = 0;
  std::size_t rows = 0;
  std::vector<Summary> series;
};

struct EncodedChunk {
  std::vector<std::uint8_t> head;
  std::vector<std::uint8_t> body;
};

/// Writes the readings of one device; arrival times are not kept.
/// Shape: sorted by time, every stamp once, 1 to kMaxChunkRows rows. Format: docs/formats/chunk.md.
EncodedChunk encode_chunk(const Block& block);

/// Errors of both: corrupt; hostile bytes cost neither a crash nor unbounded memory.
Result<ChunkHead> decode_chunk_head(std::span<const std::uint8_t> head);

/// Which series a reader wants; the others are skipped without being decoded.
using WantsSeries = std::function<bool(std::uint32_t series_id)>;
Result<Block> decode_chunk(std::span<const std::uint8_t> head, std::span<const std::uint8_t> body,
                           const WantsSeries& wants = {});

}  // namespace wattd::storage
