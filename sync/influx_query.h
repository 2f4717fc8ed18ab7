#pragma once
#include <stop_token>
#include <string>
#include <vector>

#include "sync/http.h"

namespace wattd::sync {

/// Asks an InfluxDB, or what speaks PromQL (VictoriaMetrics), how much it holds of a gateway.
struct InfluxQuery {
  std::string url;       ///< Of the server that answers, which a cluster has apart; without a / at its end.
  std::string database;  ///< Of InfluxDB.
  std::string measurement;
  std::string gateway;
  bool non_numeric = false;
};

/// Errors: unsupported when the server answers neither way of asking (Telegraf).
std::expected<Census, NotTaken> count(HttpClient& client, const InfluxQuery& query,
                                      const std::vector<std::string>& headers, TimeRange range,
                                      const std::stop_token& stop);

}  // namespace wattd::sync
