#pragma once
#include <cstdint>
#include <vector>

#include "storage/database.h"
#include "storage/fresh.h"
#include "storage/packing.h"
#include "telemetry/calendar.h"

namespace wattd::storage {

/// What a round did.
struct Compacted {
  std::uint64_t last_seq = 0;
  std::size_t segments = 0;
  std::size_t readings = 0;
  std::size_t corrections = 0;
};

/// Turns the oldest segments that are in no chunk yet into chunks, one device and day after the other, and computes
/// the rollups of the hours that have ended. Late readings go into the chunks of their time.
/// Within the caller's transaction: after a crash the same round runs again on the same segments.
/// Errors: throws SqlError; a damaged segment is left out and logged.
/// `ahead` may have packed the first of them already, and `fresh` may hold the readings of all of them.
Compacted compact(Database& database, const Calendar& calendar, const CompactionPolicy& policy, Ahead& ahead,
                  Fresh& fresh, Timestamp now);

/// Computes the rollups of hours and days that had not ended when their readings were compacted: at most `most` of
/// them.
void roll_up_pending(Database& database, const Calendar& calendar, Timestamp now, std::size_t most);

}  // namespace wattd::storage
