#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "config/table.h"
#include "sync/file.h"
#include "sync/filter.h"
#include "sync/http_batch.h"
#include "sync/influx.h"
#include "sync/mqtt.h"
#include "sync/postgres.h"
#include "sync/remote_write.h"
#include "sync/s3.h"
#include "sync/sink.h"
#include "sync/stream.h"
#include "sync/wattd.h"
#include "telemetry/rule.h"

namespace wattd::sync {

/// One upstream store.
struct SinkConfig {
  std::string id;
  std::variant<InfluxConfig, RemoteWriteConfig, PostgresConfig, HttpBatchConfig, MqttSinkConfig, WattdConfig,
               FileConfig, S3Config>
      store = {};
  std::size_t batch = 5000;                     ///< Readings in one request, at most.
  std::chrono::seconds settle{10};              ///< How long after its answer a store may still lose what it took.
  std::chrono::milliseconds max_pause{60'000};  ///< The longest wait between two tries.
  std::chrono::seconds start_delay{0};  ///< It begins at some time within this, so that a fleet does not stampede.
  std::uint64_t backfill_rate = 0;      ///< Late readings a second, at most; 0 for as many as the link carries.
  bool newest_first = false;            ///< Of what is late.
  std::int64_t budget = 0;              ///< Bytes that it may send and receive on a day of the site's clock; 0 for any.
  bool sends_hours_over_budget = false;  ///< Instead of readings, until the budget returns.
  std::vector<Stream> streams{Stream::readings};
  Stream stream = Stream::readings;  ///< The one of them that a Shipper is for,
  bool over_budget_alone = false;    ///< and whether it is while readings wait for the budget alone.
  std::chrono::seconds pace{0};      ///< What has come in so long goes together; 0: at once.
  FilterConfig filter = {};
  std::optional<Hours> hours = {};  ///< Local time in which it sends at all.
};

/// Reads one [[sinks]] table. Errors: throws config::ConfigError.
SinkConfig parse_sink(const config::Table& table);

/// The same sink for one of its streams: beside readings, that has a cursor and a name of its own, such as `up/alerts`.
SinkConfig for_stream(SinkConfig config, Stream stream);
/// Whether it is fed by the hour.
inline bool has_whole_hours(const SinkConfig& config) { return std::holds_alternative<S3Config>(config.store); }
/// One of each stream that it gets, and of the hours that stand in for readings while these wait for the budget.
std::vector<SinkConfig> configs_of(const SinkConfig& config);

/// Errors: throws std::runtime_error for what cannot be set up at all.
std::unique_ptr<Sink> make_sink(const SinkConfig& config, const std::string& gateway);

}  // namespace wattd::sync
