#include "sync/postgres.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <set>
#include <sstream>

#include "sync/postgres_connection.h"

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
  PostgresSink(PostgresConfig config, std::string gateway)
      : config_(std::move(config)),
        gateway_(std::move(gateway)),
        connection_(config_.url, config_.password, config_.timeout),
        schema_(quoted(config_.schema)) {}

  std::string pack(std::span<const Outgoing> batch) const override { return rows_of(batch); }
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
      if (auto made = connection_.execute(tables(schema)); !made) return made;
      if (auto hyper = make_hypertable(); !hyper) return hyper;
    }
    return connection_.execute(fmt::format(
        "CREATE TEMP TABLE incoming (n bigserial, device_id text, field text, ts timestamptz, value double precision, "
        "text_value text, flag boolean, quality integer) ON COMMIT DELETE ROWS;"
        "CREATE TEMP TABLE incoming_devices (LIKE {}.devices) ON COMMIT DELETE ROWS",
        schema_));
  }

  /// Several gateways may come at the same time: a lock of theirs lets one of them make the tables.
  std::string tables(const std::string& schema) const {
    return fmt::format(
        "BEGIN; SET LOCAL client_min_messages = warning; SELECT pg_advisory_xact_lock(8470);{1}"
        "CREATE TABLE IF NOT EXISTS {0}.telemetry (gateway_id text NOT NULL, device_id text NOT NULL, field text NOT "
        "NULL, ts timestamptz NOT NULL, value double precision, text_value text, flag boolean, quality integer NOT "
        "NULL, PRIMARY KEY (gateway_id, device_id, field, ts));"
        "CREATE TABLE IF NOT EXISTS {0}.devices (gateway_id text NOT NULL, device_id text NOT NULL, device_type text, "
        "location text, schema_version text, enrichment_status text, PRIMARY KEY (gateway_id, device_id));"
        "COMMIT",
        schema_, schema);
  }

  Taken make_hypertable() {
    const auto has_extension = connection_.ask("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'");
    if (!has_extension) return std::unexpected(has_extension.error());
    if (has_extension->empty()) return {};
    return connection_.execute(fmt::format(
        "SELECT create_hypertable('{}.telemetry', 'ts', if_not_exists => true, migrate_data => true)", schema_));
  }

  Taken write(std::string_view rows, std::span<const Outgoing> batch) {
    if (auto begun = connection_.execute("BEGIN"); !begun) return begun;
    if (auto copied =
            connection_.copy("COPY incoming (device_id, field, ts, value, text_value, flag, quality) FROM STDIN", rows);
        !copied)
      return copied;
    if (auto copied = connection_.copy("COPY incoming_devices FROM STDIN", devices_of(batch)); !copied) return copied;
    return connection_.execute(upsert());
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

  /// What comes again, in the batch or since an earlier one, is the value of its key that was stored last.
  std::string upsert() const {
    return fmt::format(
        "INSERT INTO {0}.telemetry AS old (gateway_id, device_id, field, ts, value, text_value, flag, quality) "
        "SELECT DISTINCT ON (device_id, field, ts) {1}, device_id, field, ts, value, text_value, flag, quality "
        "FROM incoming ORDER BY device_id, field, ts, n DESC "
        "ON CONFLICT (gateway_id, device_id, field, ts) DO UPDATE SET value = excluded.value, text_value = "
        "excluded.text_value, flag = excluded.flag, quality = excluded.quality "
        "WHERE (old.value, old.text_value, old.flag, old.quality) IS DISTINCT FROM "
        "(excluded.value, excluded.text_value, excluded.flag, excluded.quality);"
        "INSERT INTO {0}.devices AS old SELECT * FROM incoming_devices ON CONFLICT (gateway_id, device_id) DO UPDATE "
        "SET device_type = excluded.device_type, location = excluded.location, schema_version = "
        "excluded.schema_version, enrichment_status = excluded.enrichment_status "
        "WHERE (old.device_type, old.location, old.schema_version, old.enrichment_status) IS DISTINCT FROM "
        "(excluded.device_type, excluded.location, excluded.schema_version, excluded.enrichment_status);"
        "COMMIT",
        schema_, literal(gateway_));
  }

  const PostgresConfig config_;
  const std::string gateway_;
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
  postgres.create = table.boolean("create", true);
  postgres.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(table.duration("timeout", 1s, 10min, 30s));
  return postgres;
}

std::unique_ptr<Sink> postgres_sink(PostgresConfig config, std::string gateway) {
  return std::make_unique<PostgresSink>(std::move(config), std::move(gateway));
}

}  // namespace wattd::sync
