#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "storage/database.h"
#include "storage/group.h"
#include "storage/rollup.h"
#include "storage/segment.h"
#include "telemetry/error.h"
#include "telemetry/reading.h"

namespace wattd::storage {

/// A half-open range of time, [from, to).
struct TimeRange {
  Timestamp from;
  Timestamp to;
};

enum class Aggregate { mean, min, max, sum, count, first, last };
std::optional<Aggregate> aggregate_from(std::string_view text);
double value_of(const Rollup& rollup, Aggregate aggregate);

/// What stood in a device's record when a reading carried that version of it.
struct DeviceVersion {
  std::string device_id;
  std::string device_type;
  std::string location;
  std::string schema_version;
  std::string enrichment_status;
};

/// A field of a device, with what it measures where that is known.
struct SeriesInfo {
  std::string field;
  std::string measurand;
  std::string unit;
};

/// Readings in the order of their segments, for a sink.
struct Batch {
  std::uint64_t last_seq = 0;  ///< 0: there is nothing after the cursor.
  std::vector<Reading> readings;
};

struct StoredDeadLetter {
  std::int64_t id = 0;
  DeadLetter letter;
  std::string reason;
  std::optional<Timestamp> replayed_at;
};

/// Reads the database beside the writer, from a connection of its own.
/// Transactions are short: no call holds one longer than it takes to copy a segment.
/// Threads: one a Reader. Errors of every call: retry or corrupt, as for Store.
class Reader {
 public:
  /// Errors: throws SqlError.
  explicit Reader(const std::string& path);

  /// One series in order of time, each timestamp once with the value stored last.
  /// Shape: at most `limit` samples, the earliest of the range.
  Result<std::vector<Sample>> range(const Series& series, TimeRange range, std::size_t limit);
  /// Several fields of one device side by side; an empty list means all of them.
  /// Shape: at most `limit` readings, the earliest of the range; a stamp that came twice is one reading.
  Result<std::vector<Reading>> readings(const std::string& device_id, const std::vector<std::string>& fields,
                                        TimeRange range, std::size_t limit);
  /// Buckets of `interval`, aligned to 1970 UTC, empty ones left out; whole hours and days come from rollups.
  Result<std::vector<Rollup>> aggregate(const Series& series, TimeRange range, std::chrono::microseconds interval,
                                        std::size_t limit);
  /// The series of a device, in the order in which they first came.
  Result<std::vector<SeriesInfo>> series_of(const std::string& device_id);
  /// Distinct numeric samples stored in the range, over all series.
  Result<std::uint64_t> count_samples(TimeRange range);

  /// Whole segments after `after_seq` until about `max_readings` are together.
  Result<Batch> batch_after(std::uint64_t after_seq, std::size_t max_readings);
  Result<DeviceVersion> device_version(const std::string& device_id, std::uint32_t version);

  Result<std::vector<StoredDeadLetter>> dead_letters(std::size_t limit, std::int64_t before_id);
  Result<std::optional<StoredDeadLetter>> dead_letter(std::int64_t id);
  Result<std::vector<Alert>> alerts(const std::string& status, const std::string& device_id, std::size_t limit);

 private:
  struct SeriesName {
    std::string device_id;
    std::string field;
  };

  const SeriesName& name_of(std::uint32_t series_id);
  const std::string& device_of(std::uint32_t device_key);
  std::optional<std::uint32_t> find_series(const Series& series);
  /// The hours within the range that hold segments, oldest first.
  std::vector<std::int64_t> hours_in(TimeRange range);
  void for_each_block(std::int64_t hour, const WantsSeries& wants, const std::function<void(const Block&)>& visit);
  void add_reading(const Block& block, std::size_t row, Reading& reading);
  std::vector<Rollup> stored_rollups(std::uint32_t series_id, TimeRange range, const char* table);
  /// Buckets of at most an hour, or the hour that has no rollup yet, from raw samples.
  std::vector<Rollup> raw_buckets(std::uint32_t series_id, TimeRange range, std::chrono::microseconds interval);

  Database database_;
  std::unordered_map<std::uint32_t, SeriesName> names_;
  std::unordered_map<std::uint32_t, std::string> devices_;
  std::map<std::pair<std::string, std::uint32_t>, DeviceVersion> versions_;
};

}  // namespace wattd::storage
