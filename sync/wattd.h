#pragma once
#include <memory>
#include <string>

#include "config/table.h"
#include "sync/http.h"
#include "sync/sink.h"

namespace wattd::sync {

/// Another wattd, which collects from gateways.
struct WattdConfig {
  HttpConfig http;
};

/// Reads the keys of a wattd sink from its [[sinks]] table. Errors: throws config::ConfigError.
WattdConfig parse_wattd(const config::Table& table);

std::unique_ptr<Sink> wattd_sink(WattdConfig config, std::string gateway);

}  // namespace wattd::sync
