#include "sync/influx.h"

#include <fmt/format.h>

#include "sync/influx_query.h"

namespace wattd::sync {
namespace {

LineOptions options_of(Stream stream) {
  switch (stream) {
    case Stream::hours: return {.measurement = "device_telemetry_hours"};
    case Stream::days: return {.measurement = "device_telemetry_days"};
    case Stream::summaries: return {.measurement = "wattd_daily_summaries"};
    case Stream::devices: return {.measurement = "wattd_devices"};
    case Stream::alerts: return {.measurement = "wattd_alerts", .tags = {"alert_id", "rule_id", "severity"}};
    case Stream::analytics:
      return {.measurement = "wattd_analytics", .tags = {"job_id", "analysis_type", "model_name"}};
    case Stream::dead_letters: return {.measurement = "wattd_dead_letters", .tags = {"source", "reason"}};
    case Stream::readings: break;
  }
  return {};
}

class InfluxSink final : public Sink {
 public:
  InfluxSink(InfluxConfig config, std::string gateway, Stream stream)
      : client_(config.http),
        path_(path_of(config)),
        query_{.url = config.query_url.empty() ? config.http.url : config.query_url,
               .database = config.version == 1 ? config.database : config.bucket,
               .measurement = LineOptions().measurement,
               .gateway = gateway,
               .non_numeric = config.non_numeric},
        lines_(options_of(stream)) {
    lines_.gateway = std::move(gateway);
    lines_.non_numeric = config.non_numeric;
    if (!config.http.token.empty()) headers_.push_back("Authorization: Token " + config.http.token);
  }

  std::string pack(std::span<const Outgoing> batch) const override {
    auto lines = to_lines(batch, lines_);
    return lines.empty() ? lines : client_.packed(std::move(lines));
  }

  Taken deliver(std::string_view lines, std::span<const Outgoing>, const std::stop_token& stop) override {
    if (lines.empty()) return {};
    return client_.post(path_, lines, headers_, stop);
  }

  std::string target() const override { return client_.config().url; }
  std::uint64_t breaks() const override { return client_.breaks(); }
  std::uint64_t traffic() const override { return client_.traffic(); }
  Taken confirm(const std::stop_token& stop) override { return client_.confirm(stop); }

  std::expected<std::string, NotTaken> probe(const std::stop_token& stop) override {
    // No lines: who answers 400 to that has understood it.
    const auto taken = client_.post(path_, client_.packed({}), headers_, stop);
    if (!taken && taken.error().kind != ErrorKind::permanent) return std::unexpected(taken.error());
    return target() + " takes lines";
  }

  std::expected<Census, NotTaken> count(TimeRange range, const std::stop_token& stop) override {
    return sync::count(client_, query_, headers_, range, stop);
  }

 private:
  static std::string path_of(const InfluxConfig& config) {
    if (config.version == 1) return fmt::format("/write?db={}&precision=u", HttpClient::escaped(config.database));
    return fmt::format("/api/v2/write?org={}&bucket={}&precision=us", HttpClient::escaped(config.org),
                       HttpClient::escaped(config.bucket));
  }

  HttpClient client_;
  std::string path_;
  InfluxQuery query_;
  LineOptions lines_;
  std::vector<std::string> headers_{"Content-Type: text/plain; charset=utf-8"};
};

}  // namespace

InfluxConfig parse_influx(const config::Table& table) {
  InfluxConfig influx{.http = parse_http(table)};
  influx.version = static_cast<int>(table.one_of("version", {1, 2}, 1));
  influx.database = table.text("database", influx.database);
  influx.org = table.text("org", "");
  influx.bucket = table.text("bucket", influx.version == 2 ? influx.database : "");
  if (influx.version == 2 && influx.bucket.empty()) table.fail("bucket", "is required with version = 2");
  influx.query_url = parse_url(table, "query_url", "");
  influx.non_numeric = table.boolean("non_numeric", false);
  return influx;
}

std::unique_ptr<Sink> influx_sink(InfluxConfig config, std::string gateway, Stream stream) {
  return std::make_unique<InfluxSink>(std::move(config), std::move(gateway), stream);
}

}  // namespace wattd::sync
