#pragma once
#include <optional>
#include <span>
#include <vector>

#include "storage/database.h"
#include "storage/history.h"
#include "telemetry/calendar.h"
#include "telemetry/counter.h"

namespace wattd::storage {

/// What a series did within a range of time. Samples that share a timestamp count once, with the newest value.
struct Rollup {
  Timestamp start{};
  std::int64_t count = 0;
  double min = 0, max = 0, sum = 0, first = 0, last = 0;
  double coverage = 0;                     ///< The share of the range that readings stand for, 0 to 1.
  std::optional<std::int64_t> milli = {};  ///< What a counter counted, in milliwatt-hours for kWh.
  Quality quality = Quality::good;         ///< Every flag that a sample carries, and those of the counting.
  bool operator==(const Rollup&) const = default;

  /// Takes the next sample in order of time.
  void add(double value);
  /// Takes a later Rollup of the same series in; coverage is left to the caller, who knows the ranges.
  void add(const Rollup& later);
};

/// The times between stamps that follow each other.
void add_gaps(std::span<const std::int64_t> at_us, std::vector<std::int64_t>& gaps);
/// The usual one of them; 0 when there is none. Reorders them.
std::int64_t usual_gap(std::vector<std::int64_t>& gaps);
/// The share of a range that samples stand for, 0 to 1: each for the time to the next one, unless that is long in
/// coming: then for one usual interval.
double coverage_of(std::span<const std::int64_t> at_us, TimeRange range, std::int64_t interval);

/// What is known of a series that a rollup has to know.
struct SeriesRules {
  std::uint32_t series_id = 0;
  bool counter = false;
  CounterRules rules;
};
std::vector<SeriesRules> load_series_rules(Database& database, std::uint32_t device_key);

/// Computes the rollups of some hours of a device anew from its chunks, with the energy that its counters counted, and
/// those of the days that have ended. A counter's energy in a later hour follows where its state there has changed.
/// A pure function of what is stored: a repetition after a crash changes nothing.
/// Errors: throws SqlError.
void roll_up(Database& database, const Calendar& calendar, std::uint32_t device_key, std::vector<TimeRange> hours,
             Timestamp now);

/// Adds samples to the rollups of hours whose other readings have been deleted already.
/// Shape: a stamp that was there before counts twice; nobody remembers it.
void add_to_kept(Database& database, const Calendar& calendar, const Block& late);

/// Folds the hours of a day of every series of the device into its daily rollups.
void roll_up_day(Database& database, std::uint32_t device_key, TimeRange day);

}  // namespace wattd::storage
