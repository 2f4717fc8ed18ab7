#pragma once
#include "storage/database.h"

namespace wattd::storage {

/// What a series did within an hour or a day. Samples that share a timestamp count once, with the newest value.
struct Rollup {
  Timestamp start{};
  std::int64_t count = 0;
  double min = 0, max = 0, sum = 0, first = 0, last = 0;
  bool operator==(const Rollup&) const = default;

  /// Takes the next sample in order of time.
  void add(double value);
  /// Takes a later Rollup of the same series in.
  void add(const Rollup& later);
};

/// Computes the rollups of one hour anew from its segments, and those of its day from the day's hours:
/// a pure function of the stored readings, so a repetition after a crash changes nothing. Where the ring has
/// already overwritten part of the hour, what came from segment `from_seq` on is added to what was kept.
/// Errors: throws SqlError; a damaged segment is left out and logged.
void roll_up_hour(Database& database, std::int64_t hour, std::int64_t from_seq);

}  // namespace wattd::storage
