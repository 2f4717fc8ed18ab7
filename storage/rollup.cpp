#include "storage/rollup.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "storage/segment.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

using SamplesByTime = std::map<Timestamp, double>;
constexpr std::size_t kSeriesAtOnce = 64;  // bounds the memory of an hour with thousands of series

/// Calls `visit` with every segment of the hour, oldest first.
template <class Visit>
void for_each_segment(Database& database, std::int64_t hour, std::int64_t from_seq, const WantsSeries& wants,
                      Visit visit) {
  Statement row(database, "SELECT seq, body FROM segments WHERE hour=? AND seq>=? ORDER BY seq");
  row.bind(hour).bind(from_seq);
  while (row.step()) {
    const auto blocks = decode_segment(row.blob(1), wants);
    if (blocks) visit(*blocks);
    else
      log::error("a segment is damaged and left out of the rollups: " + blocks.error().message,
                 {{"SEGMENT", std::to_string(row.integer(0))}});
  }
}

std::vector<std::uint32_t> series_in(Database& database, std::int64_t hour, std::int64_t from_seq) {
  std::set<std::uint32_t> found;
  const auto note = [&](std::uint32_t id) {
    found.insert(id);
    return false;
  };
  for_each_segment(database, hour, from_seq, note, [](const auto&) {});
  return {found.begin(), found.end()};
}

void collect(const Block& block, std::map<std::uint32_t, SamplesByTime>& samples) {
  for (const auto& column : block.columns) {
    auto& series = samples[column.series_id];
    for (std::size_t i = 0; i < column.values.size(); ++i) {
      const auto value = column.present[i] ? as_number(column.values[i]) : std::nullopt;
      if (value && std::isfinite(*value)) series.insert_or_assign(block.at[i], *value);
    }
  }
}

void put(Statement& statement, std::uint32_t series_id, const Rollup& rollup) {
  statement.bind(std::int64_t{series_id}).bind(rollup.start).bind(rollup.count).bind(rollup.min).bind(rollup.max);
  statement.bind(rollup.sum).bind(rollup.first).bind(rollup.last).run();
}

void roll_up_day(Database& database, std::uint32_t series_id, Timestamp day, Statement& put_daily) {
  Statement hours(database,
                  "SELECT count, min, max, sum, first, last FROM rollups_hourly WHERE series_id=? AND start>=? AND "
                  "start<? ORDER BY start");
  hours.bind(std::int64_t{series_id}).bind(day).bind(day + std::chrono::days{1});
  Rollup daily{.start = day};
  while (hours.step()) {
    daily.add(Rollup{day, hours.integer(0), hours.real(1), hours.real(2), hours.real(3), hours.real(4), hours.real(5)});
  }
  if (daily.count > 0) put(put_daily, series_id, daily);
}

Rollup stored_hour(Database& database, std::uint32_t series_id, Timestamp start) {
  Statement row(database, "SELECT count, min, max, sum, first, last FROM rollups_hourly WHERE series_id=? AND start=?");
  row.bind(std::int64_t{series_id}).bind(start);
  if (!row.step()) return {.start = start};
  return {start, row.integer(0), row.real(1), row.real(2), row.real(3), row.real(4), row.real(5)};
}

}  // namespace

void Rollup::add(double value) { add(Rollup{start, 1, value, value, value, value, value}); }

void Rollup::add(const Rollup& later) {
  if (count == 0) {
    const auto kept = start;
    *this = later;
    start = kept;
    return;
  }
  count += later.count;
  min = std::min(min, later.min);
  max = std::max(max, later.max);
  // Huge values must not make a sum that no database holds: infinities of both signs would add up to no number.
  constexpr double kMost = std::numeric_limits<double>::max();
  sum = std::clamp(sum + later.sum, -kMost, kMost);
  last = later.last;
}

void roll_up_hour(Database& database, std::int64_t hour, std::int64_t from_seq) {
  Statement floor(database, "SELECT hour FROM ring_floor");
  const bool add_only = floor.step() && hour <= floor.integer(0);
  if (!add_only) from_seq = 0;
  const Timestamp start{std::chrono::hours{hour}};
  const Timestamp day = std::chrono::floor<std::chrono::days>(start);
  Statement put_hourly(database, "INSERT OR REPLACE INTO rollups_hourly VALUES (?,?,?,?,?,?,?,?)");
  Statement put_daily(database, "INSERT OR REPLACE INTO rollups_daily VALUES (?,?,?,?,?,?,?,?)");
  const auto all = series_in(database, hour, from_seq);
  for (std::size_t from = 0; from < all.size(); from += kSeriesAtOnce) {
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(from);
    const std::set<std::uint32_t> some(first,
                                       first + static_cast<std::ptrdiff_t>(std::min(kSeriesAtOnce, all.size() - from)));
    std::map<std::uint32_t, SamplesByTime> samples;
    for_each_segment(
        database, hour, from_seq, [&](std::uint32_t id) { return some.contains(id); },
        [&](const std::vector<Block>& blocks) {
          for (const auto& block : blocks) collect(block, samples);
        });
    for (const auto& [series_id, series] : samples) {
      auto rollup = add_only ? stored_hour(database, series_id, start) : Rollup{.start = start};
      for (const auto& [at, value] : series) rollup.add(value);
      if (rollup.count == 0) continue;
      put(put_hourly, series_id, rollup);
      roll_up_day(database, series_id, day, put_daily);
    }
  }
}

}  // namespace wattd::storage
