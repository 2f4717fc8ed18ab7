#pragma once
#include <memory>
#include <string>

#include "config/table.h"
#include "sync/http.h"
#include "sync/line_protocol.h"
#include "sync/sink.h"
#include "sync/stream.h"

namespace wattd::sync {

/// An InfluxDB, VictoriaMetrics or Telegraf that takes line protocol over HTTP.
struct InfluxConfig {
  HttpConfig http;
  int version = 1;                     ///< Of the write API: 1 is `/write?db=`, 2 is `/api/v2/write?org=&bucket=`.
  std::string database = "telemetry";  ///< v1.
  std::string org, bucket;             ///< v2.
  std::string query_url;               ///< Where it is asked what it holds, if that is not `url`.
  bool non_numeric = false;
};

/// Reads the keys of an influx sink from its [[sinks]] table. Errors: throws config::ConfigError.
InfluxConfig parse_influx(const config::Table& table);

std::unique_ptr<Sink> influx_sink(InfluxConfig config, std::string gateway, Stream stream);

}  // namespace wattd::sync
