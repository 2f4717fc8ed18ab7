#include "sync/postgres_tables.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace wattd::sync {
namespace {

constexpr std::array kDeviceColumns{
    PostgresColumn{"device_name", "varchar(255)"}, PostgresColumn{"device_type", "text"},
    PostgresColumn{"tenant_id", "varchar(50)"},    PostgresColumn{"manufacturer", "varchar(255)"},
    PostgresColumn{"model", "varchar(255)"},       PostgresColumn{"location", "text"},
    PostgresColumn{"status", "varchar(50)"},       PostgresColumn{"metadata_json", "text"},
    PostgresColumn{"building_id", "text"},         PostgresColumn{"parent_device_id", "text"},
    PostgresColumn{"meter_role", "text"},          PostgresColumn{"formula", "text"},
    PostgresColumn{"created_at", "timestamptz"},   PostgresColumn{"updated_at", "timestamptz"},
    PostgresColumn{"deleted_at", "timestamptz"}};
constexpr std::array kAlertColumns{PostgresColumn{"alert_id", "uuid"},
                                   PostgresColumn{"rule_id", "uuid"},
                                   PostgresColumn{"tenant_id", "varchar(50)"},
                                   PostgresColumn{"severity", "varchar(50)"},
                                   PostgresColumn{"message", "text"},
                                   PostgresColumn{"actual_value", "double precision"},
                                   PostgresColumn{"threshold_value", "double precision"},
                                   PostgresColumn{"status", "varchar(50)"},
                                   PostgresColumn{"count", "double precision"},
                                   PostgresColumn{"last_value", "double precision"},
                                   PostgresColumn{"last_seen_at", "timestamptz"},
                                   PostgresColumn{"acknowledged_by", "varchar(255)"},
                                   PostgresColumn{"acknowledged_at", "timestamptz"},
                                   PostgresColumn{"resolved_by", "varchar(255)"},
                                   PostgresColumn{"resolved_at", "timestamptz"},
                                   PostgresColumn{"created_at", "timestamptz"}};
constexpr std::array kJobColumns{PostgresColumn{"job_id", "varchar(100)"},
                                 PostgresColumn{"analysis_type", "varchar(50)"},
                                 PostgresColumn{"model_name", "varchar(100)"},
                                 PostgresColumn{"date_range_start", "timestamptz"},
                                 PostgresColumn{"date_range_end", "timestamptz"},
                                 PostgresColumn{"parameters", "jsonb"},
                                 PostgresColumn{"status", "varchar(50)"},
                                 PostgresColumn{"progress", "double precision"},
                                 PostgresColumn{"message", "text"},
                                 PostgresColumn{"error_message", "text"},
                                 PostgresColumn{"results", "jsonb"},
                                 PostgresColumn{"accuracy_metrics", "jsonb"},
                                 PostgresColumn{"execution_time_seconds", "double precision"},
                                 PostgresColumn{"created_at", "timestamptz"},
                                 PostgresColumn{"started_at", "timestamptz"},
                                 PostgresColumn{"completed_at", "timestamptz"},
                                 PostgresColumn{"updated_at", "timestamptz"}};
constexpr std::array kLetterColumns{PostgresColumn{"day", "date"}, PostgresColumn{"source", "text"},
                                    PostgresColumn{"reason", "text"}, PostgresColumn{"letters", "double precision"}};

constexpr PostgresTable kDevices{"devices", kDeviceColumns, "gateway_id, device_id"};
constexpr PostgresTable kAlerts{"alerts", kAlertColumns, "gateway_id, alert_id"};
constexpr PostgresTable kJobs{"analytics_jobs", kJobColumns, "gateway_id, job_id"};
constexpr PostgresTable kLetters{"dead_letters", kLetterColumns, "gateway_id, day, source, reason", false};

constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kHypertables{
    {{"telemetry", "ts"}, {"telemetry_hours", "ts"}, {"telemetry_days", "ts"}, {"energy_readings", "timestamp"}}};

std::string telemetry_sql(const std::string& schema, std::string_view name) {
  return fmt::format(
      "CREATE TABLE IF NOT EXISTS {}.{} (gateway_id text NOT NULL, device_id text NOT NULL, field text NOT NULL, "
      "ts timestamptz NOT NULL, value double precision, text_value text, flag boolean, quality integer NOT NULL, "
      "PRIMARY KEY (gateway_id, device_id, field, ts));",
      schema, name);
}

std::string record_sql(const std::string& schema, const PostgresTable& table) {
  auto sql = fmt::format("CREATE TABLE IF NOT EXISTS {}.{} (gateway_id text NOT NULL", schema, table.name);
  if (table.has_device) sql += ", device_id text NOT NULL";
  for (const auto& column : table.columns) sql += fmt::format(", {} {}", column.name, column.type);
  return sql + fmt::format(", PRIMARY KEY ({}));", table.key);
}

}  // namespace

const PostgresTable& table_of(Stream stream) {
  switch (stream) {
    case Stream::alerts: return kAlerts;
    case Stream::analytics: return kJobs;
    case Stream::dead_letters: return kLetters;
    default: return kDevices;
  }
}

std::string tables_sql(const std::string& schema) {
  std::string sql;
  for (const auto* name : {"telemetry", "telemetry_hours", "telemetry_days"}) sql += telemetry_sql(schema, name);
  // Readings of an earlier version made it with the columns of their own.
  sql += fmt::format(
      "CREATE TABLE IF NOT EXISTS {0}.devices (gateway_id text NOT NULL, device_id text NOT NULL, device_type text, "
      "location text, schema_version text, enrichment_status text, PRIMARY KEY (gateway_id, device_id));"
      "ALTER TABLE {0}.devices",
      schema);
  for (const auto& column : kDeviceColumns)
    sql += fmt::format(" ADD COLUMN IF NOT EXISTS {} {},", column.name, column.type);
  sql +=
      " ADD COLUMN IF NOT EXISTS sensor_id uuid GENERATED ALWAYS AS (md5(gateway_id || '/' || device_id)::uuid) "
      "STORED;";
  sql += record_sql(schema, kAlerts) + record_sql(schema, kJobs) + record_sql(schema, kLetters);
  return sql + fmt::format(
                   "CREATE INDEX IF NOT EXISTS ix_alerts_device_id ON {0}.alerts (device_id);"
                   "CREATE INDEX IF NOT EXISTS ix_alerts_status ON {0}.alerts (status);"
                   "CREATE TABLE IF NOT EXISTS {0}.energy_readings (sensor_id uuid NOT NULL, timestamp timestamptz NOT "
                   "NULL, value_kwh decimal(10,3) NOT NULL, quality_flag integer, PRIMARY KEY (sensor_id, timestamp));"
                   "CREATE TABLE IF NOT EXISTS {0}.buildings (id uuid PRIMARY KEY, gateway_id text NOT NULL, name "
                   "varchar(255) NOT NULL);"
                   "CREATE TABLE IF NOT EXISTS {0}.daily_summaries (building_id uuid NOT NULL, date date NOT NULL, "
                   "total_consumption_kwh decimal(12,3), peak_demand_kw decimal(10,3), cost_estimate decimal(10,2), "
                   "PRIMARY KEY (building_id, date));",
                   schema);
}

std::string are_complete_sql(const std::string& schema) {
  std::string sql = "SELECT true";
  for (const auto* table : {"telemetry", "telemetry_hours", "telemetry_days", "alerts", "analytics_jobs",
                            "dead_letters", "energy_readings", "buildings", "daily_summaries"})
    sql += fmt::format(" AND to_regclass('{}.{}') IS NOT NULL", schema, table);
  // The last of what readings of an earlier version had not made.
  return sql + fmt::format(
                   " AND EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('{}.devices') AND attname = "
                   "'sensor_id' AND NOT attisdropped)",
                   schema);
}

std::span<const std::pair<std::string_view, std::string_view>> hypertables() { return kHypertables; }

}  // namespace wattd::sync
