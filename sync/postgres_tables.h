#pragma once
#include <span>
#include <string>
#include <string_view>

#include "sync/stream.h"

namespace wattd::sync {

/// A column that a record's field goes to; the type is PostgreSQL's.
struct PostgresColumn {
  std::string_view name, type;
};

/// The table that the records of a stream go to.
/// Shape: beside its columns it has gateway_id, and where `has_device` device_id; `key` names those that make a row
/// one.
struct PostgresTable {
  std::string_view name;
  std::span<const PostgresColumn> columns;
  std::string_view key;
  bool has_device = true;
};

/// Of devices, alerts and dead letters.
const PostgresTable& table_of(Stream stream);

/// SQL that makes what the streams need in a schema, whatever of it is there already.
std::string tables_sql(const std::string& schema);
/// SQL that says t where nothing of that is missing.
std::string are_complete_sql(const std::string& schema);
/// The tables that TimescaleDB is to partition, each with its column of time.
std::span<const std::pair<std::string_view, std::string_view>> hypertables();

}  // namespace wattd::sync
