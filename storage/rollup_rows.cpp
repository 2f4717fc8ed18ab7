#include "storage/rollup_rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "storage/rollup_bytes.h"
#include "telemetry/bytes.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;

const char* name_of(RollupRows::Table table) {
  return table == RollupRows::Table::hourly ? "rollups_hourly" : "rollups_daily";
}

Vault::Kind kind_of(RollupRows::Table table) {
  return table == RollupRows::Table::hourly ? Vault::Kind::hourly : Vault::Kind::daily;
}

std::string select(RollupRows::Table table, std::string_view columns, std::string_view where) {
  return fmt::format("SELECT {} FROM {} WHERE {}", columns, name_of(table), where);
}

/// A row as it comes with its counter, which only hours have.
std::string select_row(RollupRows::Table table, std::string_view where) {
  const bool hourly = table == RollupRows::Table::hourly;
  return select(table, hourly ? "start, summary, series_id, counter" : "start, summary, series_id, NULL", where);
}

std::string insert(RollupRows::Table table) {
  const bool hourly = table == RollupRows::Table::hourly;
  return fmt::format(
      "INSERT OR REPLACE INTO {} (series_id, start, count, min, max, sum, first, last, summary{}) "
      "VALUES (?,?,0,0,0,0,0,0,?{})",
      name_of(table), hourly ? ", counter" : "", hourly ? ",?" : "");
}

/// What schema 2 sealed of a rollup: five doubles, then the energy where there is one.
void decode_values(std::span<const std::uint8_t> bytes, Rollup& rollup) {
  ByteReader in(bytes);
  for (auto* value : {&rollup.min, &rollup.max, &rollup.sum, &rollup.first, &rollup.last}) *value = in.real();
  if (in.remaining() > 0) rollup.milli = in.zigzag_varint();
}

Vault::Place counter_place(std::uint32_t series_id, Timestamp start) {
  return {Vault::Kind::counter, series_id, to_unix_us(start)};
}

}  // namespace

RollupRows::RollupRows(Database& database, Table table)
    : database_(database),
      table_(table),
      find_(database, select_row(table, "series_id=? AND start=?")),
      put_(database, insert(table)),
      range_(database, select(table, "start, summary", "series_id=? AND start>=? AND start<? ORDER BY start")),
      after_(database, select_row(table, "(series_id, start) > (?, ?) ORDER BY series_id, start LIMIT ?")),
      columns_(database,
               select(table, "count, min, max, sum, first, last, ifnull(coverage, 0), quality, energy, sealed",
                      "series_id=? AND start=?")) {}

/// A row of schema 2, whose numbers stand in columns of their own.
void RollupRows::read_columns(const Vault::Place& place, Rollup& rollup) {
  auto& row = columns_;
  const ResetAtEnd reset(row);
  if (row.bind(place.a).bind(place.b).step()) {
    rollup = {rollup.start, row.integer(0), row.real(1), row.real(2),
              row.real(3),  row.real(4),    row.real(5), row.real(6)};
    rollup.quality = static_cast<Quality>(row.integer(7));
    if (!row.is_null(8)) rollup.milli = row.integer(8);
    if (!row.is_null(9)) decode_values(database_.vault().open(place, row.blob(9)), rollup);
  }
}

/// False when it is damaged; it counts nothing then.
bool RollupRows::read(std::uint32_t series_id, const Statement& row, Rollup& rollup) {
  rollup.start = row.time(0);
  const Vault::Place place{kind_of(table_), series_id, to_unix_us(rollup.start)};
  const auto summary = row.blob(1);
  try {
    if (summary.empty()) read_columns(place, rollup);
    else if (sealed_by(summary)) decode_rollup(database_.vault().open(place, summary), rollup);
    else decode_rollup(summary, rollup);
    return true;
  } catch (const BadBytes& problem) {
    log::error(fmt::format("the rollup of series {} from {} on is damaged: {}", series_id, format_iso8601(rollup.start),
                           problem.what()));
    rollup = {.start = rollup.start};
    return false;
  }
}

RollupRows::Row RollupRows::row_from(const Statement& row) {
  Row found{.series_id = static_cast<std::uint32_t>(row.integer(2)), .rollup = {}, .is_damaged = false, .counter = {}};
  found.is_damaged = !read(found.series_id, row, found.rollup);
  if (!row.is_null(3)) {
    const auto state = database_.vault().open(counter_place(found.series_id, found.rollup.start), row.blob(3));
    found.counter = decode_counter(state);
  }
  return found;
}

std::optional<RollupRows::Row> RollupRows::find(std::uint32_t series_id, Timestamp start) {
  const ResetAtEnd reset(find_);
  if (!find_.bind(std::int64_t{series_id}).bind(start).step()) return std::nullopt;
  return row_from(find_);
}

void RollupRows::put(const Row& row) {
  const auto& vault = database_.vault();
  const Vault::Place place{kind_of(table_), row.series_id, to_unix_us(row.rollup.start)};
  const auto summary = vault.seal(place, encode_rollup(row.rollup));
  put_.bind(std::int64_t{row.series_id}).bind(row.rollup.start).bind(std::span(summary));
  if (table_ == Table::hourly && row.counter) {
    const auto state = vault.seal(counter_place(row.series_id, row.rollup.start), encode_counter(*row.counter));
    put_.bind(std::span(state));
  } else if (table_ == Table::hourly) {
    put_.bind_null();
  }
  put_.run();
}

std::vector<Rollup> RollupRows::range(std::uint32_t series_id, TimeRange range) {
  constexpr std::int64_t kMostAtFirst = 10'000;
  std::vector<Rollup> rollups;
  rollups.reserve(static_cast<std::size_t>(std::clamp<std::int64_t>((range.to - range.from) / 1h, 0, kMostAtFirst)));
  const ResetAtEnd reset(range_);
  range_.bind(std::int64_t{series_id}).bind(range.from).bind(range.to);
  while (range_.step()) (void)read(series_id, range_, rollups.emplace_back());
  return rollups;
}

std::vector<RollupRows::Row> RollupRows::after(std::uint32_t series_id, Timestamp start, int most) {
  std::vector<Row> rows;
  const ResetAtEnd reset(after_);
  after_.bind(std::int64_t{series_id}).bind(start).bind(std::int64_t{most});
  while (after_.step()) rows.push_back(row_from(after_));
  return rows;
}

Counter::State counter_before(Database& database, std::uint32_t series_id, Timestamp at) {
  Statement row(database,
                "SELECT start, counter FROM rollups_hourly WHERE series_id=? AND start<? AND counter IS NOT NULL "
                "ORDER BY start DESC LIMIT 1");
  row.bind(std::int64_t{series_id}).bind(at);
  if (!row.step()) return {};
  return decode_counter(database.vault().open(counter_place(series_id, row.time(0)), row.blob(1)));
}

std::optional<Timestamp> next_counted_hour(Database& database, std::uint32_t series_id, Timestamp from) {
  Statement row(database,
                "SELECT start FROM rollups_hourly WHERE series_id=? AND start>=? AND counter IS NOT NULL "
                "ORDER BY start LIMIT 1");
  row.bind(std::int64_t{series_id}).bind(from);
  return row.step() ? std::optional(row.time(0)) : std::nullopt;
}

}  // namespace wattd::storage
