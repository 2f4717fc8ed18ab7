#pragma once
#include <string>
#include <vector>

#include "storage/store.h"
#include "telemetry/rule.h"

namespace wattd::daemon {

/// The rules to provision: the configured ones, and those about the gateway itself that apply. Their ids are fixed.
std::vector<Rule> with_own_rules(std::vector<Rule> configured, const storage::Store& store);

/// Raises the alerts of those rules, unless they stand already; one whose rule applies no more is resolved with it.
/// Errors: as Store::commit.
Result<void> raise_own_alerts(storage::Store& store, const std::string& gateway_id, Timestamp now);

}  // namespace wattd::daemon
