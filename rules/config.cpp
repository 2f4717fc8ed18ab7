// [[rules]]: how a rule is written, in files and, turned into the same words, in the API.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "rules/engine.h"
#include "telemetry/identity.h"

namespace wattd::rules {
namespace {

using namespace std::chrono_literals;
using Kind = ConditionKind;

constexpr std::size_t kMostConditions = 16;

std::string short_text(const config::Table& table, const char* key) {
  auto value = table.text(key, "");
  if (value.empty() || value.size() > 100) table.fail(key, "expected 1 to 100 bytes");
  return value;
}

void parse_window(const config::Table& table, Condition& condition) {
  switch (condition.kind) {
    case Kind::no_data: condition.window = table.duration("window", 1s, 24h * 366, 10min); break;
    case Kind::energy:
    case Kind::demand_forecast:
      condition.window = table.duration("window", 1min, 24h, 15min);
      if (condition.window % 1min != 0us || 24h % condition.window != 0us)
        table.fail("window", "expected whole minutes that divide a day, such as \"15min\", \"1h\" or \"24h\"");
      break;
    case Kind::deviation: condition.window = table.duration("window", 1s, 24h, 15min); break;
    default:
      if (has_window(condition.kind)) {
        if (!table.has("window")) table.fail("window", "expected the length of the sliding window, such as \"15min\"");
        condition.window = table.duration("window", 1s, 24h, 15min);
      } else if (table.has("window")) {
        table.fail("window", "expected none with kind = \"threshold\"; to wait until it has held for a while, use for");
      }
  }
}

Condition parse_condition(const config::Table& table) {
  Condition condition;
  condition.kind = table.choice<Kind>("kind",
                                      {{"threshold", Kind::threshold},
                                       {"average", Kind::average},
                                       {"minimum", Kind::minimum},
                                       {"maximum", Kind::maximum},
                                       {"sum", Kind::sum},
                                       {"count", Kind::count},
                                       {"rate", Kind::rate},
                                       {"no_data", Kind::no_data},
                                       {"energy", Kind::energy},
                                       {"demand_forecast", Kind::demand_forecast},
                                       {"deviation", Kind::deviation}},
                                      Kind::threshold);
  parse_window(table, condition);
  if (condition.kind == Kind::no_data) {
    if (table.has("property")) condition.property = short_text(table, "property");
    for (const auto* key : {"condition", "threshold", "clear"}) {
      if (table.has(key))
        table.fail(key, "expected none with kind = \"no_data\"; window says how long a silence may be");
    }
    condition.threshold = std::chrono::duration<double>(condition.window).count();
    return condition;
  }
  condition.property = short_text(table, "property");
  condition.comparison = table.choice<Comparison>("condition",
                                                  {{">", Comparison::greater},
                                                   {"<", Comparison::less},
                                                   {">=", Comparison::greater_or_equal},
                                                   {"<=", Comparison::less_or_equal},
                                                   {"=", Comparison::equal},
                                                   {"!=", Comparison::not_equal}},
                                                  Comparison::greater);
  condition.threshold = table.number("threshold");
  if (table.has("clear")) {
    condition.clear = table.number("clear");
    const bool rises =
        condition.comparison == Comparison::greater || condition.comparison == Comparison::greater_or_equal;
    const bool falls = condition.comparison == Comparison::less || condition.comparison == Comparison::less_or_equal;
    if (!rises && !falls) table.fail("clear", "expected none with = and !=");
    if (rises ? *condition.clear > condition.threshold : *condition.clear < condition.threshold)
      table.fail("clear", rises ? "expected at most the threshold" : "expected at least the threshold");
  }
  if (condition.kind == Kind::deviation) {
    condition.reference = short_text(table, "reference");
    condition.is_relative = table.boolean("relative", false);
  }
  return condition;
}

std::vector<Condition> parse_conditions(const config::Table& table) {
  if (!table.has("conditions")) return {parse_condition(table)};
  for (const auto* key : {"kind", "property", "condition", "threshold", "clear", "window", "reference", "relative"}) {
    if (table.has(key)) table.fail(key, "expected in each of the conditions, where a rule has several");
  }
  std::vector<Condition> conditions;
  for (const auto& part : table.tables("conditions")) {
    auto condition = parse_condition(part);
    condition.device = part.text("device", "");
    if (part.has("device") && !is_valid_device_id(condition.device))
      part.fail("device", "expected a device id of 1 to 50 characters without / + #");
    part.reject_unknown_keys();
    conditions.push_back(std::move(condition));
  }
  if (conditions.empty() || conditions.size() > kMostConditions)
    table.fail("conditions", fmt::format("expected 1 to {}", kMostConditions));
  return conditions;
}

void parse_scope(const config::Table& table, Rule& rule) {
  const bool by_devices = table.has("devices"), by_building = table.has("building"), by_type = table.has("device_type");
  if (by_devices + by_building + by_type > 1)
    table.fail(by_building ? "building" : "device_type", "expected one of devices, building and device_type");
  rule.device_ids = table.texts("devices");
  if (by_devices) rule.scope = RuleScope::selected_devices;
  if (by_devices && rule.device_ids.empty()) table.fail("devices", "expected at least one; leave it out for all");
  for (const auto& id : rule.device_ids) {
    if (!is_valid_device_id(id)) table.fail("devices", "expected device ids of 1 to 50 characters without / + #");
  }
  if (by_building || by_type) {
    rule.scope = by_building ? RuleScope::building : RuleScope::device_type;
    rule.scope_name = short_text(table, by_building ? "building" : "device_type");
  }
  rule.is_total = table.boolean("total", false);
  if (!rule.is_total) return;
  if (rule.scope != RuleScope::building) table.fail("total", "expected only with building: its meters are added up");
  for (const auto& condition : rule.conditions) {
    if ((condition.kind != Kind::energy && condition.kind != Kind::demand_forecast) || !condition.device.empty())
      table.fail("total", "expected only with kind = \"energy\" or \"demand_forecast\", and without a device");
  }
}

std::optional<Hours> parse_hours(const config::Table& table, const char* key) {
  if (!table.has(key)) return std::nullopt;
  const auto hours = hours_from(table.text(key));
  if (!hours) {
    table.fail(key,
               fmt::format("is {:?}; expected days, hours or both, such as \"Mon-Fri 07:00-18:00\", \"Sat,Sun\" or "
                           "\"22:00-06:00\"",
                           table.text(key)));
  }
  return hours;
}

Recipients parse_recipients(const config::Table& table, const std::vector<std::string>& channels) {
  Recipients recipients;
  const auto named = table.table("recipients");
  for (const auto& channel : channels) {
    auto list = named.texts(channel);
    for (const auto& one : list) {
      const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
      if (one.empty() || std::ranges::any_of(one, is_control))
        named.fail(channel, fmt::format("has {:?}; expected texts of one line", one));
    }
    if (named.has(channel) && list.empty())
      named.fail(channel, "expected at least one; leave it out for those who stand with the channel");
    if (!list.empty()) recipients[channel] = std::move(list);
  }
  named.reject_unknown_keys();
  return recipients;
}

}  // namespace

Rule parse_rule(const config::Table& table) {
  Rule rule;
  rule.name = table.text("name");
  if (rule.name.empty() || rule.name.size() > 255) table.fail("name", "expected 1 to 255 bytes");
  rule.id = uuid_from_name("rule:" + rule.name);
  rule.description = table.text("description", "");
  rule.conditions = parse_conditions(table);
  rule.needs_all = table.choice<bool>("match", {{"all", true}, {"any", false}}, true);
  parse_scope(table, rule);
  rule.hold = table.duration("for", 0s, 24h * 7, 0s);
  rule.hours = parse_hours(table, "hours");
  rule.is_outside_hours = table.boolean("outside_hours", false);
  if (rule.is_outside_hours && !rule.hours) table.fail("outside_hours", "expected only with hours");
  rule.severity = table.choice<Severity>("severity",
                                         {{"low", Severity::low},
                                          {"medium", Severity::medium},
                                          {"high", Severity::high},
                                          {"critical", Severity::critical}},
                                         Severity::medium);
  rule.status = table.choice<RuleStatus>(
      "status", {{"active", RuleStatus::active}, {"paused", RuleStatus::paused}, {"archived", RuleStatus::archived}},
      RuleStatus::active);
  rule.channels = table.texts("channels");
  rule.escalate_to = table.texts("escalate_to");
  rule.escalate_after = table.duration("escalate_after", 0s, 24h * 30, 0s);
  if ((rule.escalate_after > 0s) == rule.escalate_to.empty())
    table.fail(rule.escalate_to.empty() ? "escalate_to" : "escalate_after",
               "expected both escalate_after and escalate_to, or neither");
  auto reached = rule.channels;
  reached.insert(reached.end(), rule.escalate_to.begin(), rule.escalate_to.end());
  rule.recipients = parse_recipients(table, reached);
  const auto cooldown = table.duration("cooldown", 0s, 24h * 30, 15min);
  if (cooldown % 1min != 0s) table.fail("cooldown", "expected whole minutes");
  rule.cooldown = std::chrono::duration_cast<std::chrono::minutes>(cooldown);
  rule.origin = table.origin();
  table.reject_unknown_keys();
  return rule;
}

Result<void> check_limits(const std::vector<Rule>& rules, const Options& options) {
  std::map<std::string, std::size_t> named;
  std::size_t everywhere = 0;
  for (const auto& rule : rules) {
    if (rule.status != RuleStatus::active || rule.origin == kBuiltIn) continue;
    everywhere += rule.scope != RuleScope::selected_devices;
    for (const auto& id : std::set(rule.device_ids.begin(), rule.device_ids.end())) named[id] += 1;
  }
  std::size_t most = 0;
  std::string device = "any device";
  for (const auto& [id, count] : named) {
    if (count > most) most = count, device = id;
  }
  if (most + everywhere <= options.most_per_device) return {};
  return fail(ErrorKind::permanent,
              fmt::format("{} would have {} active rules; at most {} are allowed (alerts.max_per_device)", device,
                          most + everywhere, options.most_per_device));
}

Options parse_options(const config::Table& table) {
  Options options;
  options.late = table.duration("late", 0s, 24h * 30, options.late);
  options.most_per_device = static_cast<std::size_t>(table.integer("max_per_device", 1, 10'000, 100));
  options.flaps = static_cast<std::size_t>(table.integer("flaps", 0, 100, 4));
  options.flap_time = table.duration("flap_time", 1s, 24h, options.flap_time);
  options.no_data = table.duration("no_data", 0s, 24h * 30, options.no_data);
  options.channels = table.texts("channels");
  table.reject_unknown_keys();
  return options;
}

}  // namespace wattd::rules
