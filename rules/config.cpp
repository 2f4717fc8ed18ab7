#include "rules/engine.h"
#include "telemetry/identity.h"

namespace wattd::rules {

Rule parse_rule(const config::Table& table) {
  using namespace std::chrono_literals;
  Rule rule;
  rule.name = table.text("name");
  if (rule.name.empty() || rule.name.size() > 255) table.fail("name", "expected 1 to 255 bytes");
  rule.id = uuid_from_name("rule:" + rule.name);
  rule.description = table.text("description", "");
  rule.device_ids = table.texts("devices");
  rule.scope = table.has("devices") ? RuleScope::selected_devices : RuleScope::all_devices;
  if (table.has("devices") && rule.device_ids.empty())
    table.fail("devices", "expected at least one; leave it out for all");
  for (const auto& id : rule.device_ids) {
    if (!is_valid_device_id(id)) table.fail("devices", "expected device ids of 1 to 50 characters without / + #");
  }
  rule.property = table.text("property");
  if (rule.property.empty() || rule.property.size() > 100) table.fail("property", "expected 1 to 100 bytes");
  rule.condition = table.choice<Comparison>("condition",
                                            {{">", Comparison::greater},
                                             {"<", Comparison::less},
                                             {">=", Comparison::greater_or_equal},
                                             {"<=", Comparison::less_or_equal},
                                             {"=", Comparison::equal},
                                             {"!=", Comparison::not_equal}},
                                            Comparison::greater);
  rule.threshold = table.number("threshold");
  rule.severity = table.choice<Severity>("severity",
                                         {{"low", Severity::low},
                                          {"medium", Severity::medium},
                                          {"high", Severity::high},
                                          {"critical", Severity::critical}},
                                         Severity::medium);
  rule.status = table.choice<RuleStatus>("status", {{"active", RuleStatus::active}, {"paused", RuleStatus::paused}},
                                         RuleStatus::active);
  rule.channels = table.texts("channels");
  rule.cooldown = std::chrono::duration_cast<std::chrono::minutes>(table.duration("cooldown", 0s, 24h * 30, 15min));
  if (table.has("cooldown") && table.duration("cooldown", 0s, 24h * 30, 15min) % 1min != 0s) {
    table.fail("cooldown", "expected whole minutes");
  }
  rule.origin = table.origin();
  table.reject_unknown_keys();
  return rule;
}

}  // namespace wattd::rules
