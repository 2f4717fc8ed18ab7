#pragma once
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "storage/alerts.h"
#include "storage/batch.h"
#include "storage/database.h"
#include "storage/dead_letters.h"
#include "storage/group.h"
#include "storage/history.h"
#include "storage/rollup_rows.h"
#include "storage/rules.h"
#include "telemetry/demand.h"
#include "telemetry/device.h"
#include "telemetry/error.h"
#include "telemetry/meter_tree.h"
#include "telemetry/reading.h"

namespace wattd::storage {

using wattd::TimeRange;

enum class Aggregate { mean, min, max, sum, count, first, last, energy };
std::optional<Aggregate> aggregate_from(std::string_view text);
/// Units: the series' own; energy in kWh (kvarh, kVAh). Nothing where there is nothing: no sample, no counter.
std::optional<double> value_of(const Rollup& rollup, Aggregate aggregate);

/// What is kept beside readings and may go to sinks.
enum class RecordKind { devices, alerts, analytics, dead_letters };

/// How long the buckets of an aggregation are: hours, days and months are those of the site's clock.
struct Step {
  enum class Unit { fixed, hour, day, month, whole };
  Unit unit = Unit::fixed;
  std::chrono::microseconds length{};  ///< Of fixed ones, which are aligned to 1970 UTC.

  static Step of(std::chrono::microseconds length) { return {Unit::fixed, length}; }
  static Step hours() { return {Unit::hour, {}}; }
  static Step days() { return {Unit::day, {}}; }
  static Step months() { return {Unit::month, {}}; }
  /// One bucket for the whole range: its statistics.
  static Step whole() { return {Unit::whole, {}}; }
};

/// A field of a device, with what it measures where that is known.
struct SeriesInfo {
  std::string field;
  std::string measurand;
  std::string unit;
};

/// The newest value of a series.
struct Latest {
  SeriesInfo series;
  Sample sample;
};

/// Reads the database beside the writer, from a connection of its own.
/// Transactions are short: no call holds one longer than it takes to copy 256 kB, and none while others are waited for.
/// Threads: one a Reader. Errors of every call: retry or corrupt, as for Store.
class Reader {
 public:
  /// Errors: throws SqlError.
  explicit Reader(const std::string& path, Vault vault = {});

  /// One series in order of time, each timestamp once with the value stored last.
  /// Shape: at most `limit` samples, the earliest of the range.
  Result<std::vector<Sample>> range(const Series& series, TimeRange range, std::size_t limit);
  /// Several fields of one device side by side; an empty list means all of them.
  /// Shape: at most `limit` readings, the earliest of the range; a stamp that came twice is one reading.
  Result<std::vector<Reading>> readings(const std::string& device_id, const std::vector<std::string>& fields,
                                        TimeRange range, std::size_t limit);
  /// The same, given to `visit` one after the other as they are read; false stops.
  /// Shape: bounded memory, whatever the range.
  Result<void> visit(const std::string& device_id, const std::vector<std::string>& fields, TimeRange range,
                     const std::function<bool(Reading)>& visit);
  /// What is in no chunk yet, of all devices, stamped at `from` or later; device by device, each in order of time.
  Result<void> visit_unpacked(Timestamp from, const std::function<void(const Reading&)>& visit);
  /// Buckets in order of time, empty ones left out; whole hours and days come from rollups.
  /// Shape: at most `limit`, the earliest of the range.
  Result<std::vector<Rollup>> aggregate(const Series& series, TimeRange range, Step step, std::size_t limit);
  /// What a counter counted in the range, in order of time; the first and the last may reach beyond it.
  Result<std::vector<Increment>> increments(const Series& series, TimeRange range);
  /// The energy of meters, added and taken away, in blocks of each of the lengths (divisors of an hour).
  /// Shape: one list a length, in order of time.
  Result<std::vector<std::vector<EnergyBlock>>> energy_blocks(std::span<const MeterTerm> terms,
                                                              const std::string& field, TimeRange range,
                                                              std::span<const std::chrono::minutes> lengths);
  const Calendar& calendar() const { return calendar_; }
  /// The newest value of every series of a device that said anything within its last chunks.
  Result<std::vector<Latest>> latest(const std::string& device_id);
  /// The series of a device, in the order in which they first came.
  Result<std::vector<SeriesInfo>> series_of(const std::string& device_id);
  /// Distinct numeric samples stored in the range, over all series.
  Result<std::uint64_t> count_samples(TimeRange range);

  /// The newest segment there ever was; 0 before the first.
  Result<std::uint64_t> last_segment();
  /// What comes after a position, until `max_readings` are together: from segments, or from chunks where the ring
  /// has overwritten them; of segments none behind `last`.
  Result<Batch> batch_after(const Position& position, std::size_t max_readings, std::uint64_t last = UINT64_MAX);
  /// Readings in segments behind `after`, up to `to`; what the ring has overwritten is not counted.
  Result<std::uint64_t> readings_in_ring(std::uint64_t after, std::uint64_t to);
  /// Every device that is in the catalogue, in order of its id.
  Result<std::vector<std::string>> devices();
  /// What a device said in a range, in order of time, every stamp once.
  /// Shape: the earliest readings, until there are `max_readings` (and, of a part, some more).
  Result<Batch> batch_of(const std::string& device_id, TimeRange range, std::size_t max_readings);
  Result<DeviceVersion> device_version(const std::string& device_id, std::uint32_t version);
  /// Raw readings before it may have been deleted.
  Result<Timestamp> raw_floor();
  /// Every device ever known, with all that is known of it, deleted ones included.
  Result<std::vector<Device>> device_records();
  /// The newest segment up to which no reading is stamped at `before` or later; `after` where the next one has such.
  Result<std::uint64_t> last_segment_before(std::uint64_t after, Timestamp before);

  /// Records whose last change has a number behind `after`, up to `to`, each as it is now; its fields are those of
  /// docs/formats/streams.md.
  /// Shape: at most `most`, in the order of their last change, which the batch's end numbers.
  Result<Batch> records_after(RecordKind kind, std::uint64_t after, std::uint64_t to, std::size_t most);
  /// The number of the newest change there ever was.
  Result<std::uint64_t> last_record(RecordKind kind);
  Result<std::uint64_t> records_between(RecordKind kind, std::uint64_t after, std::uint64_t to);

  Result<std::vector<StoredDeadLetter>> dead_letters(std::size_t limit, std::int64_t before_id);
  Result<std::optional<StoredDeadLetter>> dead_letter(std::int64_t id);
  Result<std::vector<Alert>> alerts(const std::string& status, const std::string& device_id, std::size_t limit);
  Result<std::optional<Alert>> alert(const std::string& id);
  Result<std::vector<Rule>> rules();
  Result<std::optional<Rule>> rule(const std::string& id);
  /// Newest first; of one alert, or of all.
  Result<std::vector<Delivery>> deliveries(const std::string& alert_id, const std::string& status, std::size_t limit);
  Result<std::vector<Silence>> silences(Timestamp now);
  /// Newest first; about one subject, or all.
  Result<std::vector<AuditEntry>> audit(const std::string& subject, std::size_t limit);

 private:
  struct Place {
    std::uint32_t device_key = 0;
    std::uint32_t series_id = 0;
  };
  RollupRows& rollups(RollupRows::Table table);
  const std::string& field_of(std::uint32_t series_id);
  const std::string& device_of(std::uint32_t device_key);
  std::optional<std::uint32_t> find_device(const std::string& device_id);
  std::optional<Place> find_series(const Series& series);
  Reading reading_of(const Block& block, std::size_t row);
  bool is_in_catalogue(std::uint32_t device_key);
  void open(Block block, std::vector<Rows>& opened);
  void add_from_chunks(std::uint64_t ring_first, std::size_t max_readings, Batch& batch);
  bool add_segment(std::uint64_t seq, std::size_t max_readings, Batch& batch);
  std::uint64_t first_in_ring();

  TimeRange bucket_of(Timestamp at, const Step& step, TimeRange range) const;
  std::vector<Rollup> raw_buckets(const Place& place, TimeRange range, const Step& step, TimeRange whole,
                                  const std::optional<Block>& tail, std::vector<std::int64_t>* stamps);
  std::vector<Rollup> hourly_buckets(const Place& place, TimeRange range, const Step& step);
  std::vector<TimeRange> hours_to_compute(const Place& place, TimeRange range, const std::optional<Block>& tail);
  void add_energy(const Place& place, TimeRange range, const std::optional<Block>& tail,
                  const std::function<void(const Increment&)>& visit);
  struct Hours;  ///< Rollups by their beginning, with what they cover.
  void count_energy_anew(const Place& place, TimeRange range, const std::optional<Block>& tail, Hours& hours);
  void add_days_without_hours(const Place& place, TimeRange range, Hours& hours);
  std::optional<Timestamp> first_waiting(std::uint32_t device_key, const std::optional<Block>& tail);
  bool has_whole_hours(TimeRange range) const;

  Database database_;
  Calendar calendar_;
  History history_;
  std::optional<RollupRows> hourly_, daily_;  ///< Prepared at their first use.
  std::unordered_map<std::uint32_t, std::string> fields_;
  std::unordered_map<std::uint32_t, std::string> devices_;
  std::map<std::pair<std::string, std::uint32_t>, DeviceVersion> versions_;
  /// What was decoded last for a sink, which may not have taken all of it.
  struct Opened {
    std::uint64_t seq = 0;    ///< The segment, or the chunk's last one.
    std::uint64_t after = 0;  ///< The segment before it.
    std::int64_t chunk = 0;   ///< 0 for a segment.
    std::vector<Rows> rows = {};
  };
  Opened opened_;
};

}  // namespace wattd::storage
