#include "sync/sink_config.h"

#include <fmt/format.h>

#include <algorithm>

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

enum class Kind { influx, remote_write, postgres, http, mqtt, wattd, file, s3 };

/// Whether what goes to such a store can hold the stream; a reason why not.
struct WhyNot {
  Stream stream;
  std::string_view operator()(const InfluxConfig& influx) const {
    return stream == Stream::devices && !influx.non_numeric ? "is nothing but text: it needs non_numeric = true" : "";
  }
  std::string_view operator()(const RemoteWriteConfig&) const {
    return stream != Stream::readings && has_texts(stream) ? "has no form in remote write" : "";
  }
  std::string_view operator()(const PostgresConfig&) const { return ""; }
  std::string_view operator()(const HttpBatchConfig& batch) const {
    return batch.form == HttpBatchConfig::Form::sensors ? "has no form among sensors" : "";
  }
  std::string_view operator()(const MqttSinkConfig& mqtt) const {
    return mqtt.form == MqttSinkConfig::Form::sparkplug ? "has no form in Sparkplug" : "";
  }
  std::string_view operator()(const WattdConfig&) const { return "is made anew by the gateway that collects"; }
  std::string_view operator()(const FileConfig&) const { return ""; }
  std::string_view operator()(const S3Config&) const { return "is not written to S3: files of readings are"; }
};

}  // namespace

SinkConfig for_stream(SinkConfig config, Stream stream) {
  config.stream = stream;
  if (stream == Stream::readings) return config;
  config.id += fmt::format("/{}", to_string(stream));
  auto& filter = config.filter;
  filter.every = {};  // of readings alone
  filter.by_series = stream == Stream::hours || stream == Stream::days;
  // Records are whole; what is of no device is for everybody.
  if (!filter.by_series) filter.fields.clear(), filter.not_fields.clear(), filter.without = Quality::good;
  if (stream == Stream::summaries || stream == Stream::dead_letters) filter.devices.clear(), filter.not_devices.clear();
  return config;
}

std::vector<SinkConfig> configs_of(const SinkConfig& config) {
  std::vector<SinkConfig> configs;
  for (const auto stream : config.streams) configs.push_back(for_stream(config, stream));
  const bool has_hours = std::ranges::find(config.streams, Stream::hours) != config.streams.end();
  if (config.sends_hours_over_budget && !has_hours) {
    configs.push_back(for_stream(config, Stream::hours));
    configs.back().over_budget_alone = true;
  }
  return configs;
}

SinkConfig parse_sink(const config::Table& table) {
  SinkConfig sink;
  sink.id = table.text("id");
  if (sink.id.empty() || sink.id.size() > 50 || sink.id.find('/') != std::string::npos)
    table.fail("id", "expected 1 to 50 bytes without /; the cursor belongs to it");
  switch (table.choice<Kind>("kind",
                             {{"influx", Kind::influx},
                              {"remote_write", Kind::remote_write},
                              {"postgres", Kind::postgres},
                              {"http", Kind::http},
                              {"mqtt", Kind::mqtt},
                              {"wattd", Kind::wattd},
                              {"file", Kind::file},
                              {"s3", Kind::s3}},
                             Kind::influx)) {
    case Kind::influx: sink.store = parse_influx(table); break;
    case Kind::remote_write: sink.store = parse_remote_write(table); break;
    case Kind::postgres: sink.store = parse_postgres(table); break;
    case Kind::http: sink.store = parse_http_batch(table); break;
    case Kind::mqtt: sink.store = parse_mqtt_sink(table); break;
    case Kind::wattd: sink.store = parse_wattd(table); break;
    case Kind::file: sink.store = parse_file(table); break;
    case Kind::s3: sink.store = parse_s3(table); break;
  }
  sink.batch = static_cast<std::size_t>(table.integer("batch", 1, 100'000, 5000));
  const auto* s3 = std::get_if<S3Config>(&sink.store);
  // What S3 has answered for is durable.
  sink.settle = std::chrono::duration_cast<std::chrono::seconds>(table.duration("settle", 0s, 1h, s3 ? 0s : 10s));
  if (s3 != nullptr) sink.pace = s3->export_every;
  sink.max_pause = std::chrono::duration_cast<std::chrono::milliseconds>(table.duration("max_pause", 100ms, 1h, 60s));
  sink.start_delay = std::chrono::duration_cast<std::chrono::seconds>(table.duration("start_delay", 0s, 1h, 0s));
  sink.backfill_rate = static_cast<std::uint64_t>(table.integer("backfill_rate", 0, 100'000'000, 0));
  sink.newest_first = table.choice<bool>("backfill", {{"oldest", false}, {"newest", true}}, false);
  sink.filter = parse_filter(table);
  if (s3 != nullptr && sink.filter.every > 0us) table.fail("every", "files are written whole; leave it out");
  sink.streams = parse_streams(table);
  sink.budget = table.bytes("budget", 10'000, INT64_C(1) << 50, 0);
  sink.sends_hours_over_budget = table.choice<bool>("over_budget", {{"wait", false}, {"hours", true}}, false);
  if (sink.sends_hours_over_budget && std::ranges::find(sink.streams, Stream::readings) == sink.streams.end())
    table.fail("over_budget", "says what goes instead of readings, which streams does not name");
  if (sink.budget == 0 && table.has("over_budget")) table.fail("over_budget", "says something with a budget alone");
  if (sink.budget > 0 && std::holds_alternative<FileConfig>(sink.store))
    table.fail("budget", "files are on no metered link; max_size bounds them");
  auto streams = sink.streams;
  if (sink.sends_hours_over_budget) streams.push_back(Stream::hours);
  for (const auto stream : streams) {
    const auto why_not = stream == Stream::readings ? std::string_view() : std::visit(WhyNot{stream}, sink.store);
    if (!why_not.empty())
      table.fail(stream == Stream::hours && sink.sends_hours_over_budget ? "over_budget" : "streams",
                 fmt::format("{} {}", to_string(stream), why_not));
  }
  if (table.has("hours")) {
    sink.hours = hours_from(table.text("hours"));
    if (!sink.hours) table.fail("hours", "expected local hours such as 22:00-06:00 or Mon-Fri 18:00-07:00");
  }
  table.reject_unknown_keys();
  return sink;
}

std::unique_ptr<Sink> make_sink(const SinkConfig& config, const std::string& gateway) {
  struct Make {
    const std::string& id;
    const std::string& gateway;
    Stream stream;
    std::unique_ptr<Sink> operator()(const InfluxConfig& one) const { return influx_sink(one, gateway, stream); }
    std::unique_ptr<Sink> operator()(const RemoteWriteConfig& one) const {
      return remote_write_sink(one, gateway, stream);
    }
    std::unique_ptr<Sink> operator()(const PostgresConfig& one) const { return postgres_sink(one, gateway, stream); }
    std::unique_ptr<Sink> operator()(const HttpBatchConfig& one) const { return http_batch_sink(one, gateway, stream); }
    std::unique_ptr<Sink> operator()(const MqttSinkConfig& one) const { return mqtt_sink(one, gateway, id, stream); }
    std::unique_ptr<Sink> operator()(const WattdConfig& one) const { return wattd_sink(one, gateway); }
    std::unique_ptr<Sink> operator()(const S3Config& one) const { return s3_sink(one, gateway); }
    std::unique_ptr<Sink> operator()(const FileConfig& one) const { return file_sink(one, gateway, stream); }
  };
  return std::visit(Make{config.id, gateway, config.stream}, config.store);
}

}  // namespace wattd::sync
