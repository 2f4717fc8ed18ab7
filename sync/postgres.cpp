#include "sync/postgres.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <set>
#include <sstream>

#include "sync/postgres_connection.h"
#include "sync/postgres_tables.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

/// A text in COPY's text format. Source: postgresql.org, "COPY", "Text Format".
void append_text(std::string& row, std::string_view text) {
  for (const char c : text) {
    switch (c) {
      case '\\': row += "\\\\"; break;
      case '\t': row += "\\t"; break;
      case '\n': row += "\\n"; break;
      case '\r': row += "\\r"; break;
      default: row += c;
    }
  }
}

void append_double(std::string& row, double number) {
  if (std::isnan(number)) row += "NaN";
  else if (std::isinf(number)) row += number > 0 ? "Infinity" : "-Infinity";
  else append_number(row, number);
}

/// Number, text and truth: two of them are null.
void append_value(std::string& row, const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) {
    row += *flag ? "\\N\t\\N\tt" : "\\N\t\\N\tf";
  } else if (const auto number = as_number(value)) {
    append_double(row, *number);
    row += "\t\\N\t\\N";
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    row += "\\N\t";
    append_text(row, *text);
    row += "\t\\N";
  }
}

std::string quoted(std::string_view name) {
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? "\"\"" : std::string(1, c);
  return text + "\"";
}

std::string literal(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "''" : std::string(1, c);
  return out + "'";
}

class PostgresSink final : public Sink {
 public:
  PostgresSink(PostgresConfig config, std::string gateway, Stream stream)
      : config_(std::move(config)),
        gateway_(std::move(gateway)),
        stream_(stream),
        connection_(config_.url, config_.password, config_.timeout),
        schema_(quoted(config_.schema)) {}

  std::string pack(std::span<const Outgoing> batch) const override {
    return is_record() ? records_of(batch) : rows_of(batch);
  }
  Taken deliver(std::string_view rows, std::span<const Outgoing> batch, const std::stop_token& stop) override {
    if (auto ready = connect(stop); !ready) return ready;
    auto taken = write(rows, batch);
    if (taken) return taken;
    if (taken.error().kind == ErrorKind::permanent) {
      if (auto back = connection_.execute("ROLLBACK"); !back) return back;
    } else {
      connection_.close();
    }
    return taken;
  }

  std::uint64_t traffic() const override { return connection_.sent(); }
  std::string target() const override {
    // Without a password, should one stand in it.
    const auto at = config_.url.rfind('@');
    const auto start = config_.url.find("://");
    if (at == std::string::npos || start == std::string::npos) return config_.url;
    return config_.url.substr(0, start + 3) + config_.url.substr(at + 1);
  }

  std::expected<std::string, NotTaken> probe(const std::stop_token& stop) override {
    bool is_new = false;
    if (auto opened = connection_.open(stop, is_new); !opened) return std::unexpected(opened.error());
    auto version = connection_.ask("SELECT version()");
    if (!version) return std::unexpected(version.error());
    const auto may = connection_.ask(fmt::format(
        "SELECT CASE WHEN to_regclass('{0}.telemetry') IS NULL THEN has_database_privilege(current_database(), "
        "'CREATE') ELSE has_table_privilege('{0}.telemetry', 'INSERT, UPDATE, SELECT') END",
        schema_));
    if (!may) return std::unexpected(may.error());
    if (*may != "t") return fail(ErrorKind::retry, target() + ": this user may not write to schema " + schema_);
    return fmt::format("{}: {}", target(), *version);
  }

  std::expected<Census, NotTaken> count(TimeRange range, const std::stop_token& stop) override {
    if (auto ready = connect(stop); !ready) return std::unexpected(ready.error());
    auto lines = connection_.ask(fmt::format(
        "SELECT string_agg(n || ' ' || device_id, chr(10)) FROM (SELECT device_id, count(*) AS n FROM {}.telemetry "
        "WHERE gateway_id = {} AND ts >= '{}' AND ts < '{}' GROUP BY device_id) AS counts",
        schema_, literal(gateway_), format_iso8601(range.from), format_iso8601(range.to)));
    if (!lines) return std::unexpected(lines.error());
    Census census{.values = {}, .numbers_only = false};
    std::istringstream rows(*lines);
    std::uint64_t count = 0;
    for (std::string device; rows >> count && rows.ignore() && std::getline(rows, device);)
      census.values[device] = count;
    return census;
  }

 private:
  Taken connect(const std::stop_token& stop) {
    bool is_new = false;
    if (auto opened = connection_.open(stop, is_new); !opened) return opened;
    if (!is_new) return {};
    auto ready = prepare();
    if (!ready) connection_.close();
    return ready;
  }

  Taken prepare() {
    if (config_.create) {
      // Who may not make schemas may have been given one.
      const auto is_there = connection_.ask(fmt::format("SELECT to_regnamespace({}) IS NOT NULL", literal(schema_)));
      if (!is_there) return std::unexpected(is_there.error());
      const auto schema = *is_there == "t" ? "" : fmt::format("CREATE SCHEMA IF NOT EXISTS {};", schema_);
      // Who did not make the tables may not change them, and where nothing is missing nobody has to.
      const auto is_complete = connection_.ask(are_complete_sql(schema_));
      if (!is_complete) return std::unexpected(is_complete.error());
      if (*is_complete != "t") {
        if (auto made = connection_.execute(tables(schema)); !made) return made;
        if (auto hyper = make_hypertables(); !hyper) return hyper;
      }
    }
    if (is_record()) {
      std::string columns;
      for (const auto& column : table_of(stream_).columns) columns += fmt::format(", {} {}", column.name, column.type);
      return connection_.execute(fmt::format(
          "CREATE TEMP TABLE incoming (n bigserial, device_id text, ts timestamptz{}) ON COMMIT DELETE ROWS", columns));
    }
    return connection_.execute(
        "CREATE TEMP TABLE incoming (n bigserial, device_id text, field text, ts timestamptz, value double precision, "
        "text_value text, flag boolean, quality integer) ON COMMIT DELETE ROWS;"
        "CREATE TEMP TABLE incoming_devices (gateway_id text, device_id text, device_type text, location text, "
        "schema_version text, enrichment_status text) ON COMMIT DELETE ROWS");
  }

  /// Several gateways may come at the same time: a lock of theirs lets one of them make the tables.
  std::string tables(const std::string& schema) const {
    return fmt::format("BEGIN; SET LOCAL client_min_messages = warning; SELECT pg_advisory_xact_lock(8470);{}{}COMMIT",
                       schema, tables_sql(schema_));
  }

  Taken make_hypertables() {
    const auto has_extension = connection_.ask("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'");
    if (!has_extension) return std::unexpected(has_extension.error());
    if (has_extension->empty()) return {};
    for (const auto& [name, column] : hypertables()) {
      auto made = connection_.execute(
          fmt::format("SELECT create_hypertable('{}.{}', '{}', if_not_exists => true, migrate_data => true)", schema_,
                      name, column));
      if (!made) return made;
    }
    return {};
  }

  Taken write(std::string_view rows, std::span<const Outgoing> batch) {
    if (auto begun = connection_.execute("BEGIN"); !begun) return begun;
    if (is_record()) {
      if (auto copied = connection_.copy(fmt::format("COPY incoming (device_id, ts{}) FROM STDIN", names()), rows);
          !copied)
        return copied;
      return connection_.execute(record_upsert());
    }
    if (auto copied =
            connection_.copy("COPY incoming (device_id, field, ts, value, text_value, flag, quality) FROM STDIN", rows);
        !copied)
      return copied;
    if (stream_ == Stream::summaries) return connection_.execute(summaries_upsert());
    if (stream_ != Stream::readings) return connection_.execute(telemetry_upsert() + energy_upsert() + "COMMIT");
    if (auto copied = connection_.copy("COPY incoming_devices FROM STDIN", devices_of(batch)); !copied) return copied;
    return connection_.execute(telemetry_upsert() + devices_upsert() + "COMMIT");
  }

  static std::string rows_of(std::span<const Outgoing> batch) {
    std::string rows;
    for (const auto& outgoing : batch) {
      const auto reading = outgoing.reading();
      const auto stamp = format_iso8601(reading.at);
      for (const auto& field : reading.fields) {
        append_text(rows, reading.device_id);
        rows += '\t';
        append_text(rows, field.name);
        rows += '\t';
        rows += stamp;
        rows += '\t';
        append_value(rows, field.value);
        fmt::format_to(std::back_inserter(rows), "\t{}\n", static_cast<unsigned>(reading.quality));
      }
    }
    return rows;
  }

  /// Each device once, as its newest reading in the batch has it.
  std::string devices_of(std::span<const Outgoing> batch) const {
    std::set<std::string_view> said;
    std::string rows;
    for (auto outgoing = batch.rbegin(); outgoing != batch.rend(); ++outgoing) {
      const auto& device = *outgoing->device;
      if (!said.insert(device.device_id).second) continue;
      append_text(rows, gateway_);
      for (const auto* text : {&device.device_id, &device.device_type, &device.location, &device.schema_version,
                               &device.enrichment_status}) {
        rows += '\t';
        append_text(rows, *text);
      }
      rows += '\n';
    }
    return rows;
  }

  bool is_record() const { return stream_ >= Stream::devices; }

  /// `, name` of each column of a record.
  std::string names(std::string_view prefix = {}) const {
    std::string list;
    for (const auto& column : table_of(stream_).columns) list += fmt::format(", {}{}", prefix, column.name);
    return list;
  }

  /// Columns that are missing in a record are null; the day of dead letters is its stamp.
  std::string records_of(std::span<const Outgoing> batch) const {
    std::string rows;
    for (const auto& outgoing : batch) {
      const auto record = outgoing.reading();
      append_text(rows, record.device_id);
      const auto stamp = format_iso8601(record.at);
      rows += '\t' + stamp;
      for (const auto& column : table_of(stream_).columns) {
        rows += '\t';
        const auto* field = record.find(column.name);
        if (column.name == "day") rows += stamp.substr(0, 10);
        else if (field == nullptr) rows += "\\N";
        else if (const auto number = as_number(field->value)) append_double(rows, *number);
        else append_text(rows, to_text(field->value));
      }
      rows += '\n';
    }
    return rows;
  }

  /// What comes again, in the batch or since an earlier one, is the value of its key that was stored last.
  std::string telemetry_upsert() const {
    const auto table = stream_ == Stream::hours  ? "telemetry_hours"
                       : stream_ == Stream::days ? "telemetry_days"
                                                 : "telemetry";
    return fmt::format(
        "INSERT INTO {0}.{2} AS old (gateway_id, device_id, field, ts, value, text_value, flag, quality) "
        "SELECT DISTINCT ON (device_id, field, ts) {1}, device_id, field, ts, value, text_value, flag, quality "
        "FROM incoming ORDER BY device_id, field, ts, n DESC "
        "ON CONFLICT (gateway_id, device_id, field, ts) DO UPDATE SET value = excluded.value, text_value = "
        "excluded.text_value, flag = excluded.flag, quality = excluded.quality "
        "WHERE (old.value, old.text_value, old.flag, old.quality) IS DISTINCT FROM "
        "(excluded.value, excluded.text_value, excluded.flag, excluded.quality);",
        schema_, literal(gateway_), table);
  }

  std::string devices_upsert() const {
    return fmt::format(
        "INSERT INTO {0}.devices AS old (gateway_id, device_id, device_type, location, schema_version, "
        "enrichment_status) SELECT * FROM incoming_devices ON CONFLICT (gateway_id, device_id) DO UPDATE "
        "SET device_type = excluded.device_type, location = excluded.location, schema_version = "
        "excluded.schema_version, enrichment_status = excluded.enrichment_status "
        "WHERE (old.device_type, old.location, old.schema_version, old.enrichment_status) IS DISTINCT FROM "
        "(excluded.device_type, excluded.location, excluded.schema_version, excluded.enrichment_status);",
        schema_);
  }

  /// What the counter has counted in each hour.
  std::string energy_upsert() const {
    if (stream_ != Stream::hours) return {};
    return fmt::format(
        "INSERT INTO {0}.energy_readings (sensor_id, timestamp, value_kwh, quality_flag) "
        "SELECT DISTINCT ON (device_id, ts) md5({1} || '/' || device_id)::uuid, ts, value, quality FROM incoming "
        "WHERE field = {2} AND value IS NOT NULL ORDER BY device_id, ts, n DESC "
        "ON CONFLICT (sensor_id, timestamp) DO UPDATE SET value_kwh = excluded.value_kwh, quality_flag = "
        "excluded.quality_flag;",
        schema_, literal(gateway_), literal(config_.energy_field + "_energy"));
  }

  std::string summaries_upsert() const {
    return fmt::format(
        "INSERT INTO {0}.buildings (id, gateway_id, name) SELECT DISTINCT md5({1} || '/' || device_id)::uuid, {1}, "
        "device_id FROM incoming ON CONFLICT (id) DO NOTHING;"
        "INSERT INTO {0}.daily_summaries (building_id, date, total_consumption_kwh, peak_demand_kw) "
        "SELECT md5({1} || '/' || device_id)::uuid, (max(text_value) FILTER (WHERE field = 'date'))::date, "
        "max(value) FILTER (WHERE field = 'total_consumption_kwh'), max(value) FILTER (WHERE field = 'peak_demand_kw') "
        "FROM (SELECT DISTINCT ON (device_id, field, ts) * FROM incoming ORDER BY device_id, field, ts, n DESC) AS "
        "newest GROUP BY device_id, ts "
        "ON CONFLICT (building_id, date) DO UPDATE SET total_consumption_kwh = excluded.total_consumption_kwh, "
        "peak_demand_kw = excluded.peak_demand_kw;COMMIT",
        schema_, literal(gateway_));
  }

  std::string record_upsert() const {
    const auto& table = table_of(stream_);
    std::string set;
    for (const auto& column : table.columns)
      set += fmt::format("{}{} = excluded.{}", set.empty() ? "" : ", ", column.name, column.name);
    const std::string_view device = table.has_device ? ", device_id" : "";
    const auto own_key = table.key.substr(table.key.find(',') + 2);  // the gateway is the same in all of them
    return fmt::format(
        "INSERT INTO {0}.{1} (gateway_id{2}{3}) SELECT DISTINCT ON ({4}) {5}{2}{3} FROM incoming ORDER BY {4}, n DESC "
        "ON CONFLICT ({6}) DO UPDATE SET {7};COMMIT",
        schema_, table.name, device, names(), own_key, literal(gateway_), table.key, set);
  }

  const PostgresConfig config_;
  const std::string gateway_;
  const Stream stream_;
  PostgresConnection connection_;
  const std::string schema_;
};

}  // namespace

PostgresConfig parse_postgres(const config::Table& table) {
  PostgresConfig postgres;
  postgres.url = table.text("url");
  if (!postgres.url.starts_with("postgresql://") && !postgres.url.starts_with("postgres://"))
    table.fail("url", "expected postgresql://user@host/database");
  postgres.password = table.secret("password");
  postgres.schema = table.text("schema", postgres.schema);
  if (postgres.schema.empty() || postgres.schema.size() > 63 || postgres.schema.find('\'') != std::string::npos)
    table.fail("schema", "expected a name of 1 to 63 bytes without '");
  postgres.energy_field = table.text("energy_field", postgres.energy_field);
  postgres.create = table.boolean("create", true);
  postgres.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(table.duration("timeout", 1s, 10min, 30s));
  return postgres;
}

std::unique_ptr<Sink> postgres_sink(PostgresConfig config, std::string gateway, Stream stream) {
  return std::make_unique<PostgresSink>(std::move(config), std::move(gateway), stream);
}

}  // namespace wattd::sync
