#include "storage/rollup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "storage/retention.h"
#include "storage/rollup_rows.h"
#include "storage/state.h"
#include "telemetry/log.h"
#include "telemetry/measurand.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;

constexpr auto kLongestGap = 24h * 400;  // a counter that was silent for longer counts in the hour it speaks again
constexpr auto kGap = 15min;             // what was counted over a longer silence is only reckoned to an hour
constexpr int kStillOneInterval = 3;     // times the usual one: a gap up to this is no gap

constexpr double kMost = std::numeric_limits<double>::max();

/// One hour of one series while it is being computed.
struct Hour {
  TimeRange range;
  bool touched = false;  ///< Its samples are counted anew; else only what its counter counted.
  Rollup rollup;
  std::optional<Counter::State> state;  ///< Of the counter at its end.
  std::vector<std::int64_t> at_us;
};

/// One series over the hours that are computed together.
struct Walk {
  SeriesRules series;
  std::map<Timestamp, Hour> hours;  ///< By their beginning.
  std::optional<Counter> counter;
  Timestamp from;           ///< Where its samples begin to matter.
  Timestamp settled_until;  ///< Its counter is known up to here.
};

std::int64_t usual_interval(const std::map<Timestamp, Hour>& hours) {
  std::vector<std::int64_t> gaps;
  for (const auto& [start, hour] : hours) add_gaps(hour.at_us, gaps);
  return usual_gap(gaps);
}

class HourlyRollups {
 public:
  HourlyRollups(Database& database, const Calendar& calendar, std::uint32_t device_key)
      : database_(database),
        calendar_(calendar),
        device_key_(device_key),
        series_(load_series_rules(database, device_key)),
        floor_(raw_floor_of(database, calendar, device_key)),
        rows_(database, RollupRows::Table::hourly) {}

  /// Computes a run of hours that follow each other, more or less, and returns the hours that have to follow.
  std::vector<TimeRange> run(const std::vector<TimeRange>& hours);
  const std::vector<Timestamp>& written() const { return written_; }

 private:
  Walk begin(const SeriesRules& series, const std::vector<TimeRange>& hours);
  void take(Walk& walk, const Column& column, const Block& block, std::size_t row);
  void count(Walk& walk, std::span<const Increment> increments);
  void finish(Walk& walk, std::vector<TimeRange>& next);
  void write(Walk& walk, Hour& hour, std::int64_t interval);

  Database& database_;
  const Calendar& calendar_;
  std::uint32_t device_key_;
  std::vector<SeriesRules> series_;
  Timestamp floor_;  ///< What begins before it may have lost readings: what is stored of it counts.
  RollupRows rows_;
  std::vector<Timestamp> written_;
};

Walk HourlyRollups::begin(const SeriesRules& series, const std::vector<TimeRange>& hours) {
  Walk walk{.series = series, .hours = {}, .counter = {}, .from = hours.front().from, .settled_until = {}};
  for (const auto& hour : hours) walk.hours.emplace(hour.from, Hour{.range = hour, .touched = true});
  if (!series.counter) return walk;
  auto state = counter_before(database_, series.series_id, walk.from);
  // The hour in which the counter was heard last gets what was counted since, and so does every hour between.
  if (state.accepted && walk.from - state.accepted->at < kLongestGap) {
    for (auto at = calendar_.hour_of(state.accepted->at); at.from < walk.from; at = calendar_.hour_of(at.to)) {
      if (at.from >= floor_) walk.hours.emplace(at.from, Hour{.range = at});
    }
    walk.from = walk.hours.begin()->first;
    state = counter_before(database_, series.series_id, walk.from);
  }
  walk.counter.emplace(series.rules, std::move(state));
  walk.settled_until = walk.from;
  return walk;
}

void HourlyRollups::take(Walk& walk, const Column& column, const Block& block, std::size_t row) {
  const auto value = column.values.number(row);
  const auto at = from_unix_us(block.at_us[row]);
  if (!value || !std::isfinite(*value) || at < walk.from) return;
  auto hour = walk.hours.upper_bound(at);
  const bool inside = hour != walk.hours.begin() && (--hour)->second.range.contains(at);
  if (inside && hour->second.touched) {
    hour->second.rollup.add(*value);
    hour->second.rollup.quality |= column.quality(row) | block.quality(row);
    hour->second.at_us.push_back(block.at_us[row]);
  }
  if (!walk.counter) return;
  count(walk, walk.counter->take({at, *value}, column.quality(row) | block.quality(row)));
  if (inside) hour->second.state = walk.counter->state();
}

void HourlyRollups::count(Walk& walk, std::span<const Increment> increments) {
  for (const auto& increment : increments) {
    walk.settled_until = increment.to;
    auto hour = walk.hours.upper_bound(increment.from);
    if (hour != walk.hours.begin()) --hour;
    for (; hour != walk.hours.end() && hour->first < increment.to; ++hour) {
      auto& rollup = hour->second.rollup;
      if (hour->second.range.to <= increment.from) continue;
      rollup.milli = rollup.milli.value_or(0) + increment.within(hour->second.range);
      rollup.quality |= increment.quality;
      const bool whole = increment.from >= hour->first && increment.to <= hour->second.range.to;
      if (!whole && increment.to - increment.from > kGap) rollup.quality |= Quality::estimated;
    }
  }
}

void HourlyRollups::write(Walk& walk, Hour& hour, std::int64_t interval) {
  auto& rollup = hour.rollup;
  rollup.start = hour.range.from;
  std::optional<Rollup> old;
  if (const auto row = rows_.find(walk.series.series_id, rollup.start); row && !row->is_damaged) old = row->rollup;
  // Some of its readings are gone (expired, or in a chunk that is damaged): what was counted when all were there holds.
  if (old && (hour.range.from < floor_ || (hour.touched && rollup.count < old->count))) return;
  if (hour.touched) {
    rollup.coverage = coverage_of(hour.at_us, hour.range, interval);
  } else if (old) {
    old->milli = rollup.milli;
    old->quality |= rollup.quality;
    rollup = *old;
  }
  if (rollup.count == 0 && rollup.milli.value_or(0) == 0 && !hour.state && !old) return;
  rows_.put({walk.series.series_id, rollup, false, hour.state});
  written_.push_back(rollup.start);
}

void HourlyRollups::finish(Walk& walk, std::vector<TimeRange>& next) {
  const auto interval = usual_interval(walk.hours);
  if (walk.counter) {
    auto& last = walk.hours.rbegin()->second;
    const auto before = counter_before(database_, walk.series.series_id, last.range.to);
    for (auto& [start, hour] : walk.hours) write(walk, hour, interval);
    // Where the counter stands otherwise than was thought, what follows has to be counted anew.
    const auto after = counter_before(database_, walk.series.series_id, last.range.to);
    if (before == after) return;
    if (const auto follows = next_counted_hour(database_, walk.series.series_id, last.range.to))
      next.push_back(calendar_.hour_of(*follows));
    return;
  }
  for (auto& [start, hour] : walk.hours) write(walk, hour, interval);
}

std::vector<TimeRange> HourlyRollups::run(const std::vector<TimeRange>& hours) {
  std::map<std::uint32_t, Walk> walks;
  auto from = hours.front().from;
  const auto to = hours.back().to;
  for (const auto& series : series_) {
    auto walk = begin(series, hours);
    from = std::min(from, walk.from);
    walks.emplace(series.series_id, std::move(walk));
  }
  History(database_).visit_chunks(device_key_, {from, kAlways.to}, {}, [&](const Block& block) {
    for (const auto& column : block.columns) {
      const auto walk = walks.find(column.series_id);
      if (walk == walks.end()) continue;
      for (std::size_t row = 0; row < block.rows(); ++row) {
        if (from_unix_us(block.at_us[row]) >= to && (!walk->second.counter || walk->second.settled_until >= to)) break;
        if (column.has(row)) take(walk->second, column, block, row);
      }
    }
    if (from_unix_us(block.at_us.back()) < to) return true;
    return std::ranges::any_of(walks, [&](const auto& walk) {
      return walk.second.counter && walk.second.counter->state().accepted && walk.second.settled_until < to;
    });
  });
  std::vector<TimeRange> next;
  for (auto& [id, walk] : walks) finish(walk, next);
  return next;
}

/// Splits hours into runs without long gaps.
std::vector<std::vector<TimeRange>> runs_of(std::vector<TimeRange> hours) {
  std::ranges::sort(hours, {}, &TimeRange::from);
  hours.erase(std::ranges::unique(hours).begin(), hours.end());
  std::vector<std::vector<TimeRange>> runs;
  for (const auto& hour : hours) {
    if (runs.empty() || hour.from > runs.back().back().to) runs.emplace_back();
    runs.back().push_back(hour);
  }
  return runs;
}

}  // namespace

void Rollup::add(double value) {
  if (count == 0) min = max = first = value;
  min = std::min(min, value);
  max = std::max(max, value);
  // Huge values must not make a sum that no database holds: infinities of both signs would add up to no number.
  sum = std::clamp(sum + value, -kMost, kMost);
  last = value;
  ++count;
}

void Rollup::add(const Rollup& later) {
  quality |= later.quality;
  if (later.milli) milli = milli.value_or(0) + *later.milli;
  if (later.count == 0) return;
  min = count == 0 ? later.min : std::min(min, later.min);
  max = count == 0 ? later.max : std::max(max, later.max);
  first = count == 0 ? later.first : first;
  sum = std::clamp(sum + later.sum, -kMost, kMost);
  last = later.last;
  count += later.count;
}

void add_gaps(std::span<const std::int64_t> at_us, std::vector<std::int64_t>& gaps) {
  for (std::size_t i = 1; i < at_us.size(); ++i) gaps.push_back(at_us[i] - at_us[i - 1]);
}

std::int64_t usual_gap(std::vector<std::int64_t>& gaps) {
  if (gaps.empty()) return 0;
  const auto middle = gaps.begin() + std::ssize(gaps) / 2;
  std::ranges::nth_element(gaps, middle);
  return *middle;
}

double coverage_of(std::span<const std::int64_t> at_us, TimeRange range, std::int64_t interval) {
  if (at_us.empty()) return 0;
  const auto length = (range.to - range.from).count();
  if (interval == 0) interval = length;
  const auto span = [&](std::int64_t gap) { return gap <= kStillOneInterval * interval ? gap : interval; };
  auto covered = std::min(at_us.front() - to_unix_us(range.from), interval);
  for (std::size_t i = 1; i < at_us.size(); ++i) covered += span(at_us[i] - at_us[i - 1]);
  covered += std::min(to_unix_us(range.to) - at_us.back(), interval);
  return std::min(1.0, static_cast<double>(covered) / static_cast<double>(length));
}

std::vector<SeriesRules> load_series_rules(Database& database, std::uint32_t device_key) {
  Statement row(database,
                "SELECT series_id, ifnull(measurand,''), ifnull(modulus,0), ifnull(most_an_hour,0), "
                "ifnull(resolution,0) FROM series WHERE device_key=? ORDER BY series_id");
  row.bind(std::int64_t{device_key});
  std::vector<SeriesRules> series;
  while (row.step()) {
    const auto measurand = find_measurand(row.text(1));
    series.push_back({.series_id = static_cast<std::uint32_t>(row.integer(0)),
                      .counter = measurand && measurand->counter,
                      .rules = {row.real(2), row.real(3), row.real(4)}});
  }
  return series;
}

void roll_up_day(Database& database, std::uint32_t device_key, TimeRange day) {
  RollupRows hourly(database, RollupRows::Table::hourly);
  RollupRows rows(database, RollupRows::Table::daily);
  for (const auto& series : load_series_rules(database, device_key)) {
    const auto hours = hourly.range(series.series_id, day);
    if (hours.empty()) continue;
    Rollup daily{.start = day.from};
    double covered_hours = 0;
    for (const auto& hour : hours) daily.add(hour), covered_hours += hour.coverage;
    daily.coverage =
        std::min(1.0, covered_hours / std::chrono::duration<double, std::ratio<3600>>(day.to - day.from).count());
    rows.put({series.series_id, daily, false, {}});
  }
}

void add_to_kept(Database& database, const Calendar& calendar, const Block& late) {
  RollupRows rows(database, RollupRows::Table::hourly);
  std::set<Timestamp> days;
  for (const auto us : late.at_us) days.insert(calendar.day_of(from_unix_us(us)).from);
  for (const auto& column : late.columns) {
    for (std::size_t row = 0; row < late.rows(); ++row) {
      const auto value = column.has(row) ? column.values.number(row) : std::nullopt;
      if (!value || !std::isfinite(*value)) continue;
      const auto hour = calendar.hour_of(from_unix_us(late.at_us[row])).from;
      auto kept =
          rows.find(column.series_id, hour).value_or(RollupRows::Row{column.series_id, {.start = hour}, false, {}});
      kept.rollup.add(*value);
      kept.rollup.quality |= column.quality(row) | late.quality(row);
      rows.put(kept);
    }
  }
  for (const auto day : days) roll_up_day(database, late.device_key, calendar.day_of(day));
}

void roll_up(Database& database, const Calendar& calendar, std::uint32_t device_key, std::vector<TimeRange> hours,
             Timestamp now) {
  if (hours.empty()) return;
  HourlyRollups rollups(database, calendar, device_key);
  while (!hours.empty()) {
    std::vector<TimeRange> next;
    for (const auto& run : runs_of(std::move(hours))) {
      const auto more = rollups.run(run);
      next.insert(next.end(), more.begin(), more.end());
    }
    hours = std::move(next);
  }
  std::vector<TimeRange> days;
  for (const auto start : rollups.written()) {
    const auto day = calendar.day_of(start);
    if (std::ranges::find(days, day) == days.end()) days.push_back(day);
  }
  Statement wait(database, "INSERT OR IGNORE INTO rollup_pending VALUES (?,?,?)");
  for (const auto& day : days) {
    if (day.to < now) roll_up_day(database, device_key, day);
    else wait.bind(std::int64_t{device_key}).bind(day.from).bind(day.to).run();
  }
}

}  // namespace wattd::storage
