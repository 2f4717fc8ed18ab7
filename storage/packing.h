#pragma once
#include <cstdint>
#include <future>
#include <map>
#include <optional>
#include <vector>

#include "storage/chunk.h"
#include "storage/database.h"
#include "storage/fresh.h"
#include "storage/history.h"
#include "telemetry/calendar.h"

namespace wattd::storage {

/// How segments become chunks.
struct CompactionPolicy {
  std::size_t cells = 400'000;       ///< Values in one round, so that its transaction stays short and its memory small.
  std::size_t rows = 4096;           ///< The most in one chunk.
  std::size_t small_rows = 1000;     ///< A chunk below this takes in what follows on the same day.
  std::size_t corrections = 10'000;  ///< The newest that are remembered.
  bool operator==(const CompactionPolicy&) const = default;
};

/// Readings of one device on one day of the site, and the chunks of that day that they go into.
/// Shape: the block is sorted by time, every stamp once.
struct Packing {
  Block block;
  std::vector<StoredChunk> chunks;
};

/// The chunks that take the place of those.
struct Packed {
  struct Chunk {
    std::int64_t from_us = 0;
    std::int64_t to_us = 0;
    EncodedChunk bytes;
  };
  std::vector<Chunk> chunks;
  std::vector<std::int64_t> replaced;  ///< Ids of those whose readings are in the new ones.
  std::vector<Correction> corrections;
  std::uint64_t first_seq = UINT64_MAX;  ///< Of what was in the replaced ones.
  std::uint64_t last_seq = 0;
};

/// Makes new chunks of a packing. Threads: any; it asks no database.
Packed pack(Packing packing, std::size_t most_rows);

/// Finds the chunks that readings go into: those whose time they share, or a small one before them on the same day.
class Neighbours {
 public:
  Neighbours(Database& database, std::size_t small_rows);
  std::vector<StoredChunk> of(const Block& piece, TimeRange day);

 private:
  Database& database_;
  std::size_t small_rows_;
  Statement before_;
  History history_;
};

/// Packs what the next round will write while the writer goes on with other groups: encoding is most of a round's work,
/// and needs no database. Lost with the process, like what it is made of; the segments on the disk say the same.
/// Threads: the writer's; the work is done on one of its own.
class Ahead {
 public:
  struct Device {
    Packed packed;
    std::vector<TimeRange> hours;  ///< That its readings lie in.
  };
  struct Round {
    std::uint64_t first_seq = 0;
    std::uint64_t last_seq = 0;
    std::map<std::uint32_t, Device> devices;
    Fresh::Devices others;  ///< Readings of several days, or of hours that are closed: these are not packed yet.
  };

  /// Begins with what `fresh` holds of the segments `first` to `last`; false when it does not hold them.
  /// Errors: throws SqlError.
  bool begin(Database& database, const Calendar& calendar, const CompactionPolicy& policy, Fresh& fresh,
             std::uint64_t first, std::uint64_t last);
  bool is_under_way() const { return round_.valid(); }
  bool is_done() const;
  /// What was made, once it is; nothing when nothing was begun.
  std::optional<Round> take();
  /// For when the chunks that it goes into are gone.
  void forget() { (void)take(); }

 private:
  std::future<Round> round_;
};

}  // namespace wattd::storage
