#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "storage/block.h"
#include "telemetry/reading.h"

namespace wattd::storage {

/// How far a sink has read. Within what chunks say of segments that the ring has overwritten, `round` and `chunk`
/// tell the place; a sink that begins again without them gets some readings twice.
struct Position {
  std::uint64_t seq = 0;  ///< Everything up to here.
  std::uint64_t round = 0;
  std::int64_t chunk = 0;
  std::size_t row = 0;  ///< Rows of that chunk, or of the segment that comes next, if it was not read to its end.
  bool operator==(const Position&) const = default;
};

/// What stood in a device's record when a reading carried that version of it.
struct DeviceVersion {
  std::string device_id;
  std::string device_type;
  std::string location;
  std::string schema_version;
  std::string enrichment_status;
};

/// Rows of one device, and the names that its numbers stand for.
struct Rows {
  std::shared_ptr<const Block> block;
  std::string device_id;
  std::vector<std::string> fields;  ///< One a column of the block.

  std::size_t size() const { return block->rows(); }
  Timestamp received(std::size_t row) const {
    return from_unix_us(block->received_us.empty() ? block->at_us[row] : block->received_us[row]);
  }
  /// Numbers among the values of a row: the samples that every sink can hold.
  std::size_t numeric_samples(std::size_t row) const;
  Reading reading(std::size_t row) const;
};

/// A reading as rows of its own.
Rows rows_of(const Reading& reading);

/// Readings in the order of their segments, for a sink.
struct Batch {
  Position end;  ///< Where the next batch begins; the same as asked for when there is nothing more.
  std::vector<Rows> parts;

  std::size_t size() const {
    std::size_t count = 0;
    for (const auto& part : parts) count += part.size();
    return count;
  }
};

}  // namespace wattd::storage
