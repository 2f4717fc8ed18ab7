#include "daemon/own_alerts.h"

#include <algorithm>

#include "telemetry/identity.h"

namespace wattd::daemon {
namespace {

Rule database_rule() {
  return {.id = uuid_from_name("gateway:database_set_aside"),
          .name = "A database stands unused",
          .description = "A database was damaged, newer than the program, or its key was missing: it was set aside.",
          .property = "gateway.databases_set_aside",
          .condition = Comparison::greater,
          .threshold = 0,
          .severity = Severity::critical,
          .origin = "built in"};
}

}  // namespace

std::vector<Rule> with_own_rules(std::vector<Rule> configured, const storage::Store& store) {
  if (!store.set_aside().empty()) configured.push_back(database_rule());
  return configured;
}

Result<void> raise_own_alerts(storage::Store& store, const std::string& gateway_id, Timestamp now) {
  if (store.set_aside().empty()) return {};
  const auto rule = database_rule();
  const auto standing = store.active_alerts();
  const auto known = std::ranges::find(standing, rule.id, &Alert::rule_id);
  // The same once more is no news; another reason is.
  if (known != standing.end() && known->message == store.set_aside()) return {};
  Alert alert{.id = random_uuid(),
              .rule_id = rule.id,
              .device_id = gateway_id,
              .severity = rule.severity,
              .message = store.set_aside(),
              .actual_value = 1,
              .last_value = 1,
              .created_at = now,
              .last_seen_at = now};
  if (known != standing.end()) {
    alert.id = known->id;
    alert.created_at = known->created_at;
  }
  return store.change_alert(alert);
}

}  // namespace wattd::daemon
