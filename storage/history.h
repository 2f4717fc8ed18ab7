#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "storage/chunk.h"
#include "storage/database.h"
#include "storage/segment.h"
#include "telemetry/calendar.h"

namespace wattd::storage {

/// The place of a chunk: chunks of a device lie side by side, in order of time.
std::int64_t chunk_id(std::uint32_t device_key, std::int64_t from_us);
constexpr std::uint32_t device_of_chunk(std::int64_t id) { return static_cast<std::uint32_t>(id >> 43); }

/// A chunk as it is stored.
struct StoredChunk {
  std::int64_t id = 0;
  std::int64_t to_us = 0;
  std::uint64_t first_seq = 0;
  std::uint64_t last_seq = 0;
  std::vector<std::uint8_t> head;
  std::vector<std::uint8_t> body;
};

/// The chunk in a row of kChunkColumns, opened.
StoredChunk chunk_from(const Vault& vault, const Statement& row);
inline constexpr std::string_view kChunkColumns = "chunk_id, to_at, first_seq, last_seq, head, body";

/// Reads what is stored of a device in order of time: its chunks, and the segments that are in no chunk yet.
/// No statement is open while a visitor runs, and none copies more than 256 kB at once (or one blob, if that is
/// larger): nobody who looks at what was read holds the write-ahead log back.
/// Threads: its Database's. Errors: throws SqlError; what is damaged is left out and logged.
class History {
 public:
  explicit History(Database& database) : database_(database) {}

  /// False stops the visit.
  using Visit = std::function<bool(const Block&)>;
  /// Every row of the device within the range.
  /// Shape: blocks in order of time, sorted, every stamp once, with the wanted columns alone.
  void visit(std::uint32_t device_key, TimeRange range, const WantsSeries& wants, const Visit& visit);
  /// The same with a tail that was read before the chunks are: rows that are compacted meanwhile count once.
  void merge(std::uint32_t device_key, TimeRange range, const WantsSeries& wants, const std::optional<Block>& tail,
             const Visit& visit);
  /// The same without what is in no chunk yet.
  void visit_chunks(std::uint32_t device_key, TimeRange range, const WantsSeries& wants, const Visit& visit);

  /// What is in no chunk yet: rows of the wanted devices within the range, sorted, one block a device.
  std::vector<Block> tail(const WantsDevice& wants, TimeRange range);
  /// The same of one device, with the wanted columns alone; none when there are no rows.
  std::optional<Block> tail_of(std::uint32_t device_key, TimeRange range, const WantsSeries& wants);

  using VisitSegment = std::function<bool(std::uint64_t seq, std::span<const std::uint8_t> body)>;
  /// Every segment after `after_seq` that may have rows in the range, oldest first.
  void visit_segments(std::uint64_t after_seq, TimeRange range, const VisitSegment& visit);

  /// The device's chunks that may have rows in the range, in order of time; `from` may be given again to go on.
  std::vector<StoredChunk> chunks(std::uint32_t device_key, TimeRange range, std::size_t most_bytes);

 private:
  Database& database_;
  std::optional<Statement> chunks_;  ///< Prepared at its first use.
};

/// The whole of time, as far as chunks reach.
inline constexpr TimeRange kAlways{Timestamp{}, from_unix_us(INT64_C(8'000'000'000'000'000))};

/// The rows of a sorted block that lie within the range.
Block clip(const Block& block, TimeRange range);

}  // namespace wattd::storage
