#include "daemon/own_alerts.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "telemetry/identity.h"

namespace wattd::daemon {
namespace {

using namespace std::chrono_literals;

Rule own_rule(const char* id, const char* name, const char* description, Severity severity) {
  Rule rule;
  rule.id = uuid_from_name(std::string("gateway:") + id);
  rule.name = name;
  rule.description = description;
  rule.severity = severity;
  rule.origin = rules::kBuiltIn;
  return rule;
}

Condition limit(const char* property, Comparison comparison, double threshold, std::optional<double> clear = {}) {
  Condition condition;
  condition.property = property;
  condition.comparison = comparison;
  condition.threshold = threshold;
  condition.clear = clear;
  return condition;
}

constexpr const char* kSetAside = "gateway.databases_set_aside";

std::string database_rule_id() { return uuid_from_name("gateway:database_set_aside"); }

/// Of the machine's memory.
std::optional<double> memory_percent() {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  double kilobytes = 0, total = 0, available = 0;
  while (file >> name >> kilobytes && std::getline(file, unit)) {
    if (name == "MemTotal:") total = kilobytes;
    if (name == "MemAvailable:") available = kilobytes;
  }
  return total > 0 && available > 0 ? std::optional(100 * (1 - available / total)) : std::nullopt;
}

std::optional<double> disk_free_percent(const std::string& directory) {
  struct statvfs space{};
  if (statvfs(directory.c_str(), &space) != 0 || space.f_blocks == 0) return std::nullopt;
  return 100.0 * static_cast<double>(space.f_bavail) / static_cast<double>(space.f_blocks);
}

}  // namespace

std::vector<Rule> own_rules(const rules::Options& options, const std::string& gateway_id) {
  std::vector<Rule> own{
      own_rule("database_set_aside", "A database stands unused",
               "A database was damaged, newer than the program, or its key was missing: it was set aside. "
               "wattctl db merge unites it with the one in use.",
               Severity::critical),
      own_rule("disk", "The disk is nearly full", "Old raw data is given up when nothing is left.", Severity::high),
      own_rule("relief", "Data was given up for want of space", "wattctl status says what.", Severity::critical),
      own_rule("clock", "Nothing vouches for the clock", "Readings that it stamps are held. wattctl doctor says more.",
               Severity::medium),
      own_rule("upstream", "A sink is far behind", "wattctl sync status says which, and why.", Severity::high),
      own_rule("processor", "The processor is busy", "Over 80 % for five minutes.", Severity::medium),
      own_rule("memory", "Memory is short", "Over 85 % for five minutes.", Severity::medium),
  };
  const std::array conditions{limit(kSetAside, Comparison::greater, 0),
                              limit("gateway.disk_free_percent", Comparison::less, 5, 7),
                              limit("gateway.space_given_up", Comparison::greater, 0),
                              limit("gateway.clock_untrusted", Comparison::greater, 0),
                              limit("gateway.upstream_lag_seconds", Comparison::greater, 3600, 60),
                              limit("gateway.processor_percent", Comparison::greater, 80, 70),
                              limit("gateway.memory_percent", Comparison::greater, 85, 80)};
  for (std::size_t i = 0; i < own.size(); ++i) {
    own[i].scope = RuleScope::selected_devices;
    own[i].device_ids = {gateway_id};
    own[i].conditions = {conditions[i]};
  }
  own[3].hold = 10min;
  own[5].hold = own[6].hold = 5min;
  if (options.no_data > 0us) {
    own.push_back(
        own_rule("no_data", "A device says nothing", "alerts.no_data says how long it may be silent.", Severity::high));
    Condition silence;
    silence.kind = ConditionKind::no_data;
    silence.window = options.no_data;
    silence.threshold = std::chrono::duration<double>(options.no_data).count();
    own.back().conditions = {silence};
  }
  for (auto& rule : own) rule.channels = options.channels;
  return own;
}

Result<void> raise_own_alerts(storage::Store& store, const std::string& gateway_id, Timestamp now) {
  if (store.set_aside().empty()) return {};
  const auto latest = store.latest_alerts();
  const auto known = std::ranges::find_if(
      latest, [&](const Alert& alert) { return alert.rule_id == database_rule_id() && alert.stands; });
  // The same once more is no news; another reason is.
  if (known != latest.end() && known->message == store.set_aside()) return {};
  Alert alert{.id = random_uuid(),
              .rule_id = database_rule_id(),
              .device_id = gateway_id,
              .severity = Severity::critical,
              .message = store.set_aside(),
              .actual_value = 1,
              .last_value = 1,
              .created_at = now,
              .last_seen_at = now};
  if (known != latest.end()) alert.id = known->id, alert.created_at = known->created_at;
  return store.put({.alerts = {alert}});
}

std::optional<double> SelfWatch::processor() {
  std::ifstream file("/proc/stat");
  std::string line, name;
  std::getline(file, line);
  std::istringstream fields(line);
  fields >> name;
  // user nice system idle iowait irq softirq steal: proc(5)
  std::int64_t total = 0, idle = 0, ticks = 0;
  for (int i = 0; i < 8 && fields >> ticks; ++i) {
    total += ticks;
    if (i == 3 || i == 4) idle += ticks;
  }
  const auto busy = total - idle;
  const auto busy_since = busy - std::exchange(busy_, busy), total_since = total - std::exchange(total_, total);
  return total_since > 0 && total_since < total
             ? std::optional(100.0 * static_cast<double>(busy_since) / static_cast<double>(total_since))
             : std::nullopt;
}

Reading SelfWatch::look(const api::Overview& overview, Timestamp now) {
  Reading reading{.device_id = overview.gateway_id, .at = now, .received = now};
  const auto add = [&](const char* name, std::optional<double> value) {
    if (value) reading.fields.push_back({name, *value});
  };
  add(kSetAside, overview.set_aside.empty() ? 0 : 1);
  add("gateway.space_given_up", overview.usage.relief.empty() ? 0 : 1);
  add("gateway.clock_untrusted", overview.clock_is_trusted ? 0 : 1);
  add("gateway.disk_free_percent", disk_free_percent(directory_));
  add("gateway.memory_percent", memory_percent());
  add("gateway.processor_percent", processor());
  std::optional<double> lag;
  for (const auto& sink : overview.sinks) {
    const auto behind = sync::lag(sink.shipper, now);
    lag = std::max(lag.value_or(0), behind);
    reading.fields.push_back({fmt::format("gateway.upstream_lag_seconds.{}", sink.shipper.id), behind});
    reading.fields.push_back({fmt::format("gateway.upstream_waiting.{}", sink.shipper.id),
                              static_cast<double>(sink.shipper.waiting_readings)});
  }
  add("gateway.upstream_lag_seconds", lag);
  return reading;
}

std::vector<Rule> all_rules(const Settings& settings, const std::string& gateway_id) {
  auto rules = own_rules(settings.pipeline.rules, gateway_id);
  rules.insert(rules.end(), settings.rules.begin(), settings.rules.end());
  return rules;
}

}  // namespace wattd::daemon
