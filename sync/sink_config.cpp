#include "sync/sink_config.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

enum class Kind { influx, remote_write, postgres, http, mqtt, wattd, file };

}  // namespace

SinkConfig parse_sink(const config::Table& table) {
  SinkConfig sink;
  sink.id = table.text("id");
  if (sink.id.empty() || sink.id.size() > 50) table.fail("id", "expected 1 to 50 bytes; the cursor belongs to it");
  switch (table.choice<Kind>("kind",
                             {{"influx", Kind::influx},
                              {"remote_write", Kind::remote_write},
                              {"postgres", Kind::postgres},
                              {"http", Kind::http},
                              {"mqtt", Kind::mqtt},
                              {"wattd", Kind::wattd},
                              {"file", Kind::file}},
                             Kind::influx)) {
    case Kind::influx: sink.store = parse_influx(table); break;
    case Kind::remote_write: sink.store = parse_remote_write(table); break;
    case Kind::postgres: sink.store = parse_postgres(table); break;
    case Kind::http: sink.store = parse_http_batch(table); break;
    case Kind::mqtt: sink.store = parse_mqtt_sink(table); break;
    case Kind::wattd: sink.store = parse_wattd(table); break;
    case Kind::file: sink.store = parse_file(table); break;
  }
  sink.batch = static_cast<std::size_t>(table.integer("batch", 1, 100'000, 5000));
  sink.settle = std::chrono::duration_cast<std::chrono::seconds>(table.duration("settle", 0s, 1h, 10s));
  sink.max_pause = std::chrono::duration_cast<std::chrono::milliseconds>(table.duration("max_pause", 100ms, 1h, 60s));
  sink.start_delay = std::chrono::duration_cast<std::chrono::seconds>(table.duration("start_delay", 0s, 1h, 0s));
  sink.backfill_rate = static_cast<std::uint64_t>(table.integer("backfill_rate", 0, 100'000'000, 0));
  sink.newest_first = table.choice<bool>("backfill", {{"oldest", false}, {"newest", true}}, false);
  sink.filter = parse_filter(table);
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
    std::unique_ptr<Sink> operator()(const InfluxConfig& one) const { return influx_sink(one, gateway); }
    std::unique_ptr<Sink> operator()(const RemoteWriteConfig& one) const { return remote_write_sink(one, gateway); }
    std::unique_ptr<Sink> operator()(const PostgresConfig& one) const { return postgres_sink(one, gateway); }
    std::unique_ptr<Sink> operator()(const HttpBatchConfig& one) const { return http_batch_sink(one, gateway); }
    std::unique_ptr<Sink> operator()(const MqttSinkConfig& one) const { return mqtt_sink(one, gateway, id); }
    std::unique_ptr<Sink> operator()(const WattdConfig& one) const { return wattd_sink(one, gateway); }
    std::unique_ptr<Sink> operator()(const FileConfig& one) const { return file_sink(one, gateway); }
  };
  return std::visit(Make{config.id, gateway}, config.store);
}

}  // namespace wattd::sync
