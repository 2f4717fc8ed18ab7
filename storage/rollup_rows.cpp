#include "storage/rollup_rows.h"

#include <fmt/format.h>

#include "storage/bytes.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

constexpr const char* kColumns =
    "series_id, start, count, min, max, sum, first, last, ifnull(coverage, 0), quality, energy, sealed";

const char* name_of(RollupRows::Table table) {
  return table == RollupRows::Table::hourly ? "rollups_hourly" : "rollups_daily";
}

Vault::Kind kind_of(RollupRows::Table table) {
  return table == RollupRows::Table::hourly ? Vault::Kind::hourly : Vault::Kind::daily;
}

std::string select(RollupRows::Table table, std::string_view where, bool with_counter = true) {
  return fmt::format("SELECT {}{} FROM {} WHERE {}", kColumns,
                     table == RollupRows::Table::hourly && with_counter ? ", counter" : ", NULL", name_of(table),
                     where);
}

std::string insert(RollupRows::Table table) {
  const bool hourly = table == RollupRows::Table::hourly;
  return fmt::format(
      "INSERT OR REPLACE INTO {} (series_id, start, count, min, max, sum, first, last, coverage, quality, energy, "
      "sealed{}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?{})",
      name_of(table), hourly ? ", counter" : "", hourly ? ",?" : "");
}

/// What of a rollup is sealed: five doubles, then the energy where there is one.
std::vector<std::uint8_t> encode_values(const Rollup& rollup) {
  ByteWriter out;
  for (const auto value : {rollup.min, rollup.max, rollup.sum, rollup.first, rollup.last}) out.real(value);
  if (rollup.milli) out.zigzag_varint(*rollup.milli);
  return std::move(out.bytes());
}

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
      find_(database, select(table, "series_id=? AND start=?")),
      put_(database, insert(table)),
      range_(database, select(table, "series_id=? AND start>=? AND start<? ORDER BY start", false)),
      after_(database, select(table, "(series_id, start) > (?, ?) ORDER BY series_id, start LIMIT ?")) {}

RollupRows::Row RollupRows::row_from(const Statement& row) const {
  Row found{.series_id = static_cast<std::uint32_t>(row.integer(0)), .rollup = {}, .is_damaged = false, .counter = {}};
  auto& rollup = found.rollup;
  rollup = {row.time(1), row.integer(2), row.real(3), row.real(4), row.real(5), row.real(6), row.real(7), row.real(8)};
  rollup.quality = static_cast<Quality>(row.integer(9));
  if (!row.is_null(10)) rollup.milli = row.integer(10);
  try {
    const Vault::Place place{kind_of(table_), found.series_id, to_unix_us(rollup.start)};
    if (!row.is_null(11)) decode_values(database_.vault().open(place, row.blob(11)), rollup);
  } catch (const BadBytes&) {
    log::error(
        fmt::format("the rollup of series {} from {} on is damaged", found.series_id, format_iso8601(rollup.start)));
    rollup = {.start = rollup.start};
    found.is_damaged = true;
  }
  if (!row.is_null(12)) {
    const auto state = database_.vault().open(counter_place(found.series_id, rollup.start), row.blob(12));
    found.counter = decode_counter(state);
  }
  return found;
}

std::optional<RollupRows::Row> RollupRows::find(std::uint32_t series_id, Timestamp start) {
  std::optional<Row> found;
  if (find_.bind(std::int64_t{series_id}).bind(start).step()) found = row_from(find_);
  find_.reset();
  return found;
}

void RollupRows::put(const Row& row) {
  const auto& rollup = row.rollup;
  const auto& vault = database_.vault();
  const bool sealed = vault.seals();
  put_.bind(std::int64_t{row.series_id}).bind(rollup.start).bind(rollup.count);
  for (const auto value : {rollup.min, rollup.max, rollup.sum, rollup.first, rollup.last})
    put_.bind(sealed ? 0 : value);
  put_.bind(rollup.coverage).bind(std::int64_t{static_cast<std::uint16_t>(rollup.quality)});
  rollup.milli && !sealed ? put_.bind(*rollup.milli) : put_.bind_null();
  const Vault::Place place{kind_of(table_), row.series_id, to_unix_us(rollup.start)};
  sealed ? put_.bind(std::span<const std::uint8_t>(vault.seal(place, encode_values(rollup)))) : put_.bind_null();
  if (table_ == Table::hourly && row.counter) {
    const auto state = vault.seal(counter_place(row.series_id, rollup.start), encode_counter(*row.counter));
    put_.bind(std::span<const std::uint8_t>(state));
  } else if (table_ == Table::hourly) {
    put_.bind_null();
  }
  put_.run();
}

std::vector<Rollup> RollupRows::range(std::uint32_t series_id, TimeRange range) {
  std::vector<Rollup> rollups;
  range_.bind(std::int64_t{series_id}).bind(range.from).bind(range.to);
  while (range_.step()) rollups.push_back(row_from(range_).rollup);
  range_.reset();
  return rollups;
}

std::vector<RollupRows::Row> RollupRows::after(std::uint32_t series_id, Timestamp start, int most) {
  std::vector<Row> rows;
  after_.bind(std::int64_t{series_id}).bind(start).bind(std::int64_t{most});
  while (after_.step()) rows.push_back(row_from(after_));
  after_.reset();
  return rows;
}

std::vector<std::uint8_t> encode_counter(const Counter::State& state) {
  ByteWriter out;
  const auto write = [&](const CounterReading& reading) {
    out.zigzag_varint(to_unix_us(reading.at));
    out.real(reading.value);
  };
  out.byte(static_cast<std::uint8_t>(state.accepted ? 1 + state.held.size() : 0));
  if (state.accepted) write(*state.accepted);
  for (const auto& held : state.held) write(held);
  return std::move(out.bytes());
}

Counter::State decode_counter(std::span<const std::uint8_t> bytes) {
  Counter::State state;
  try {
    ByteReader in(bytes);
    const auto count = in.byte();
    for (int i = 0; i < count; ++i) {
      const auto at = from_unix_us(in.zigzag_varint());
      const CounterReading reading{at, in.real()};
      if (i == 0) state.accepted = reading;
      else state.held.push_back(reading);
    }
  } catch (const BadBytes& problem) {
    log::error(fmt::format("the state of a counter is damaged and begins anew: {}", problem.what()));
    return {};
  }
  return state;
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
