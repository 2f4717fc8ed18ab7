#pragma once
#include <memory>
#include <string>

#include "config/table.h"
#include "sync/sink.h"
#include "sync/stream.h"

namespace wattd::sync {

/// A PostgreSQL, with or without TimescaleDB. docs/formats/postgres.md has the tables.
struct PostgresConfig {
  std::string url;  ///< Such as `postgresql://wattd@db.plant.example/energy?sslmode=verify-full`.
  std::string password;
  std::string schema = "wattd";
  std::string energy_field = "energy_import_total";  ///< The counter whose hours become energy_readings.
  bool create = true;                                ///< The schema and its tables, where they are missing.
  std::chrono::milliseconds timeout{30'000};
};

/// Reads the keys of a postgres sink from its [[sinks]] table. Errors: throws config::ConfigError.
PostgresConfig parse_postgres(const config::Table& table);

std::unique_ptr<Sink> postgres_sink(PostgresConfig config, std::string gateway, Stream stream);

}  // namespace wattd::sync
