#pragma once
#include <chrono>
#include <cstdint>

#include "storage/database.h"
#include "storage/history.h"
#include "telemetry/error.h"

namespace wattd::storage {

/// How long and how much.
struct RetentionPolicy {
  std::chrono::days raw{90};
  std::chrono::days hourly{365};
  std::chrono::days daily{5 * 365 + 1};
  std::int64_t bytes = INT64_C(4) << 30;  ///< Everything in the database file; chunks beyond it go, oldest first.
};

/// Takes raw data away before it is deleted, to a file or to another store.
/// Threads: the writer's; a piece is small, but a slow archive holds commits up.
class Archive {
 public:
  virtual ~Archive() = default;
  /// Errors: any keeps the chunk where it is until it is asked for again; only a full disk deletes it unarchived.
  virtual Result<void> keep(std::uint32_t device_key, const Block& readings) = 0;
};

/// What expiring has deleted.
struct Expired {
  std::size_t chunks = 0;
  std::size_t unsent = 0;      ///< Chunks among them that some sink had not settled.
  std::size_t unarchived = 0;  ///< And that the archive refused, because the disk was full.
  bool more = false;
};

/// Deletes what is older than its retention, and the oldest chunks while the database is larger than its bytes.
/// The newest chunk of a device stays: the next reading of a counter is told from it.
/// Shape: at most a few hundred chunks at once. Within the caller's transaction. Errors: throws SqlError.
Expired expire(Database& database, const Calendar& calendar, const RetentionPolicy& policy, Archive* archive,
               std::uint64_t settled_seq, Timestamp now);

/// Bytes of the pages that are in use.
std::int64_t used_bytes(Database& database);

/// Before this some of the device's readings may have been deleted: rollups of hours that begin earlier are kept as
/// they are and only added to.
Timestamp raw_floor_of(Database& database, const Calendar& calendar, std::uint32_t device_key);

}  // namespace wattd::storage
