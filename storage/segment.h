#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "telemetry/error.h"
#include "telemetry/quality.h"
#include "telemetry/time.h"
#include "telemetry/value.h"

namespace wattd::storage {

/// Hours are whole hours since 1970 in UTC; a segment holds one.
constexpr std::int64_t hour_of(Timestamp at) {
  return std::chrono::floor<std::chrono::hours>(at).time_since_epoch().count();
}

/// The values of one series within a block.
/// Shape: the three vectors are as long as the block has readings; where `present` is 0 the value is unset.
struct Column {
  std::uint32_t series_id = 0;
  std::vector<std::uint8_t> present;
  std::vector<Value> values;
  std::vector<Quality> qualities;
};

/// The readings of one device, under one version of its record, column by column.
/// Shape: `at`, `received` and `qualities` have one entry a reading, in order of arrival.
struct Block {
  std::uint32_t device_key = 0;
  std::uint32_t device_version = 0;
  std::vector<Timestamp> at;
  std::vector<Timestamp> received;
  std::vector<Quality> qualities;
  std::vector<Column> columns;
};

/// What a group commit writes to the ring. Format: docs/formats/segment.md.
std::vector<std::uint8_t> encode_segment(std::span<const Block> blocks);

/// Which columns a reader wants; columns it does not want are skipped without being decoded.
using WantsSeries = std::function<bool(std::uint32_t series_id)>;

/// Reads what encode_segment wrote, with every version ever released.
/// Errors: corrupt; hostile bytes cost neither a crash nor unbounded memory (4 Mi values at the most).
Result<std::vector<Block>> decode_segment(std::span<const std::uint8_t> bytes, const WantsSeries& wants = {});

}  // namespace wattd::storage
