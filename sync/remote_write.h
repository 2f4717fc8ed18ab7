#pragma once
#include <memory>
#include <span>
#include <string>

#include "config/table.h"
#include "sync/http.h"
#include "sync/sink.h"
#include "sync/stream.h"

namespace wattd::sync {

/// A Prometheus, Mimir, Thanos, VictoriaMetrics or Grafana Cloud that takes remote write.
struct RemoteWriteConfig {
  HttpConfig http;
  std::string path = "/api/v1/write";
  std::string query_url;  ///< Where it is asked what it holds, if that is not `url`.
};

/// Reads the keys of a remote_write sink from its [[sinks]] table. Errors: throws config::ConfigError.
RemoteWriteConfig parse_remote_write(const config::Table& table);

std::unique_ptr<Sink> remote_write_sink(RemoteWriteConfig config, std::string gateway, Stream stream);

/// Readings as a WriteRequest: of each field a series `device_telemetry_FIELD` with the labels that line protocol has
/// as tags. What a metric's name cannot have becomes _, and the label `field` has the name as it is then. Shape:
/// protobuf, not compressed; numbers alone, no NaN (which would be a marker of staleness), in milliseconds. Source:
/// Prometheus Remote-Write 1.0 specification.
std::string to_write_request(std::span<const Outgoing> batch, const std::string& gateway,
                             Stream stream = Stream::readings);

}  // namespace wattd::sync
