#pragma once
#include <optional>
#include <span>
#include <vector>

#include "storage/database.h"
#include "storage/rollup.h"
#include "telemetry/counter.h"

namespace wattd::storage {

/// Rollups as they are stored, one table of them, sealed where there is a key. Format: docs/formats/rollup.md.
/// Threads: its Database's. Errors: throws SqlError.
class RollupRows {
 public:
  enum class Table { hourly, daily };
  RollupRows(Database& database, Table table);

  struct Row {
    std::uint32_t series_id = 0;
    Rollup rollup;
    bool is_damaged = false;                ///< Its values could not be read.
    std::optional<Counter::State> counter;  ///< Where the counter stood at the end of the hour.
  };
  std::optional<Row> find(std::uint32_t series_id, Timestamp start);
  void put(const Row& row);
  /// Rollups of one series that begin within the range, oldest first.
  std::vector<Rollup> range(std::uint32_t series_id, TimeRange range);
  /// The rows behind a place, in the table's order, at most `most`: for whoever goes through all of them.
  std::vector<Row> after(std::uint32_t series_id, Timestamp start, int most);

 private:
  Row row_from(const Statement& row);
  bool read(std::uint32_t series_id, const Statement& row, Rollup& rollup);
  void read_columns(const Vault::Place& place, Rollup& rollup);

  Database& database_;
  Table table_;
  Statement find_, put_, range_, after_, columns_;
};

/// The newest state that a counter had before an instant; an empty one when nothing is known.
Counter::State counter_before(Database& database, std::uint32_t series_id, Timestamp at);
/// When the first hour begins, from an instant on, at whose end it is known where the counter stood.
std::optional<Timestamp> next_counted_hour(Database& database, std::uint32_t series_id, Timestamp from);

}  // namespace wattd::storage
