#pragma once
#include <string>
#include <vector>

#include "api/gateway.h"
#include "daemon/settings.h"
#include "rules/engine.h"
#include "storage/store.h"
#include "telemetry/rule.h"

namespace wattd::daemon {

/// The rules about the gateway itself and its devices' silence; their ids are fixed.
std::vector<Rule> own_rules(const rules::Options& options, const std::string& gateway_id);
/// What files say, and what the gateway brings itself.
std::vector<Rule> all_rules(const Settings& settings, const std::string& gateway_id);

/// Says at once why a database stands unused, unless that is known; the rule about it then judges what SelfWatch says.
/// Errors: as Store::put.
Result<void> raise_own_alerts(storage::Store& store, const std::string& gateway_id, Timestamp now);

/// Looks at the machine and at what the gateway is behind with, for those rules.
/// Threads: one.
class SelfWatch {
 public:
  /// `directory` is where the data lies.
  explicit SelfWatch(std::string directory) : directory_(std::move(directory)) {}

  /// Units: `gateway.processor_percent`, `gateway.memory_percent` and `gateway.disk_free_percent` of the machine's,
  /// `gateway.upstream_lag_seconds` of the sink that is furthest behind; what cannot be known is left out.
  Reading look(const api::Overview& overview, Timestamp now);

 private:
  std::optional<double> processor();

  std::string directory_;
  std::int64_t busy_ = 0, total_ = 0;  ///< Of the processors, as they were last.
};

}  // namespace wattd::daemon
