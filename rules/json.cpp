// A rule in JSON is a rule in TOML with a few other names: it is turned into the one and read as such, so that both say
// the same, and complain alike.
#include "rules/json.h"

#include <fmt/format.h>
#include <json/writer.h>

#include <algorithm>
#include <array>

#include "config/table.h"
#include "rules/engine.h"

namespace wattd::rules {
namespace {

using namespace std::chrono_literals;

Json::Value text_or_null(const std::string& text) {
  return text.empty() ? Json::Value(Json::nullValue) : Json::Value(text);
}

/// As short as a configuration would have it: `15min`.
std::string duration_text(std::chrono::microseconds duration) {
  constexpr std::array<std::pair<std::chrono::microseconds, const char*>, 5> kUnits{
      {{24h, "d"}, {1h, "h"}, {1min, "min"}, {1s, "s"}, {1ms, "ms"}}};
  for (const auto& [unit, name] : kUnits) {
    if (duration >= unit && duration % unit == 0us) return fmt::format("{}{}", duration / unit, name);
  }
  return fmt::format("{}us", duration.count());
}

Json::Value list_of(const std::vector<std::string>& texts) {
  Json::Value list(Json::arrayValue);
  for (const auto& text : texts) list.append(text);
  return list;
}

Json::Value time_or_null(const std::optional<Timestamp>& at) {
  return at ? Json::Value(format_iso8601(*at)) : Json::Value(Json::nullValue);
}

void add_condition(Json::Value& json, const Condition& condition) {
  json["kind"] = std::string(to_string(condition.kind));
  if (!condition.device.empty()) json["device"] = condition.device;
  if (!condition.property.empty()) json["property"] = condition.property;
  if (condition.window > 0us) json["window"] = duration_text(condition.window);
  if (condition.kind == ConditionKind::no_data) return;
  json["condition"] = std::string(to_string(condition.comparison));
  json["threshold"] = condition.threshold;
  if (condition.clear) json["clear"] = *condition.clear;
  if (condition.kind != ConditionKind::deviation) return;
  json["reference"] = condition.reference;
  json["relative"] = condition.is_relative;
}

/// What a rule says, in the words of a file; what stands at its default is left out.
Json::Value words_of(const Rule& rule) {
  Json::Value json;
  json["name"] = rule.name;
  if (!rule.description.empty()) json["description"] = rule.description;
  if (rule.scope == RuleScope::selected_devices) json["devices"] = list_of(rule.device_ids);
  if (rule.scope == RuleScope::building) json["building"] = rule.scope_name;
  if (rule.scope == RuleScope::device_type) json["device_type"] = rule.scope_name;
  if (rule.is_total) json["total"] = true;
  if (rule.conditions.size() == 1 && rule.conditions[0].device.empty()) {
    add_condition(json, rule.conditions[0]);
  } else {
    for (const auto& condition : rule.conditions) {
      Json::Value one;
      add_condition(one, condition);
      json["conditions"].append(one);
    }
    json["match"] = rule.needs_all ? "all" : "any";
  }
  if (rule.hold > 0us) json["for"] = duration_text(rule.hold);
  if (rule.hours) json["hours"] = to_string(*rule.hours);
  if (rule.is_outside_hours) json["outside_hours"] = true;
  json["severity"] = std::string(to_string(rule.severity));
  json["status"] = std::string(to_string(rule.status));
  json["channels"] = list_of(rule.channels);
  for (const auto& [channel, recipients] : rule.recipients) json["recipients"][channel] = list_of(recipients);
  json["cooldown"] = rule.cooldown == 0min ? "0s" : duration_text(rule.cooldown);
  if (!rule.escalate_to.empty()) {
    json["escalate_after"] = duration_text(rule.escalate_after);
    json["escalate_to"] = list_of(rule.escalate_to);
  }
  return json;
}

std::string text_of(const Json::Value& value) {
  static const auto writer = [] {
    Json::StreamWriterBuilder one;
    one["indentation"] = "";
    one["emitUTF8"] = true;
    return one;
  }();
  return Json::writeString(writer, value);
}

/// A value as TOML has it; objects become inline tables.
std::string toml_of(const Json::Value& value) {
  if (value.isDouble()) {
    // With a point, as TOML wants it of a number that is not whole.
    auto text = fmt::format("{}", value.asDouble());
    return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
  }
  if (value.isArray()) {
    std::string text = "[";
    for (const auto& one : value) text += (text.size() > 1 ? ", " : "") + toml_of(one);
    return text + "]";
  }
  if (value.isObject()) {
    std::string text = "{ ";
    for (const auto& key : value.getMemberNames())
      text += (text.size() > 2 ? ", " : "") + text_of(key) + " = " + toml_of(value[key]);
    return text + " }";
  }
  return text_of(value);
}

struct Other {
  const char* json;
  const char* toml;
};
// What the seeds call by other names; the second of two is the older seed's.
constexpr std::array kOtherNames{Other{"rule_name", "name"}, Other{"device_ids", "devices"},
                                 Other{"notification_channels", "channels"}, Other{"operator", "condition"},
                                 Other{"device_id", "devices"}};
// What the gateway says of a rule, and nobody else.
constexpr std::array kOnlySaid{"rule_id",           "tenant_id",  "created_at", "updated_at",
                               "last_triggered_at", "deleted_at", "origin",     "scope"};

/// The scope that a body names has to be the one that its other keys make.
void check_scope(const Json::Value& json, const Rule& rule) {
  if (!json.isMember("scope") || json["scope"].isNull()) return;
  const auto said = json["scope"].isString() ? json["scope"].asString() : "";
  if (!rule_scope_from(said))
    throw config::ConfigError("scope is not one of all_devices, selected_devices, building, device_type");
  if (said == to_string(rule.scope)) return;
  throw config::ConfigError(fmt::format("scope is {}; expected {} beside it", said,
                                        said == "all_devices"        ? "no device_ids, building or device_type"
                                        : said == "selected_devices" ? "device_ids"
                                                                     : said));
}

}  // namespace

Json::Value to_json(const Rule& rule) {
  auto json = words_of(rule);
  // The seed's columns are always there.
  for (const auto* name : {"name", "devices", "channels", "cooldown"}) json.removeMember(name);
  json["rule_id"] = rule.id;
  json["rule_name"] = rule.name;
  json["description"] = text_or_null(rule.description);
  json["scope"] = std::string(to_string(rule.scope));
  json["device_ids"] = list_of(rule.device_ids);
  json["notification_channels"] = list_of(rule.channels);
  json["cooldown_minutes"] = Json::Int64(rule.cooldown.count());
  json["last_triggered_at"] = time_or_null(rule.last_triggered_at);
  json["created_at"] = format_iso8601(rule.created_at);
  json["updated_at"] = format_iso8601(rule.updated_at);
  json["origin"] = text_or_null(rule.origin);
  return json;
}

Json::Value to_json(const Alert& alert) {
  Json::Value json;
  json["alert_id"] = alert.id;
  json["rule_id"] = alert.rule_id;
  json["tenant_id"] = alert.tenant;
  json["device_id"] = alert.device_id;
  json["severity"] = std::string(to_string(alert.severity));
  json["message"] = alert.message;
  json["actual_value"] = alert.actual_value;
  json["threshold_value"] = alert.threshold_value;
  json["status"] = std::string(to_string(alert.status));
  json["count"] = Json::UInt64(alert.count);
  json["last_value"] = alert.last_value;
  json["acknowledged_by"] = text_or_null(alert.acknowledged_by);
  json["acknowledged_at"] = time_or_null(alert.acknowledged_at);
  json["resolved_at"] = time_or_null(alert.resolved_at);
  json["resolved_by"] = text_or_null(alert.resolved_by);
  json["last_seen_at"] = format_iso8601(alert.last_seen_at);
  json["escalated_at"] = time_or_null(alert.escalated_at);
  json["late"] = alert.is_late;
  json["flapping"] = alert.is_flapping;
  json["created_at"] = format_iso8601(alert.created_at);
  return json;
}

Rule rule_from(const Json::Value& json) {
  if (!json.isObject()) throw config::ConfigError("the body is not a JSON object");
  std::string text;
  for (const auto& key : json.getMemberNames()) {
    const auto& value = json[key];
    if (value.isNull() || std::ranges::find(kOnlySaid, key) != kOnlySaid.end()) continue;
    if (key == "device_ids" && value.isArray() && value.empty()) continue;  // the seed's way to say: all
    if (key == "cooldown_minutes") {
      if (!value.isUInt() || value.asUInt() > 43'200)
        throw config::ConfigError("cooldown_minutes is not a whole number from 0 to 43200");
      text += fmt::format("cooldown = \"{}min\"\n", value.asUInt());
      continue;
    }
    const auto other = std::ranges::find_if(kOtherNames, [&](const Other& one) { return key == one.json; });
    const auto name = other == kOtherNames.end() ? text_of(key) : other->toml;
    text += fmt::format("{} = {}\n", name, key == "device_id" ? "[" + toml_of(value) + "]" : toml_of(value));
  }
  try {
    auto rule = parse_rule(config::parse(text, "rule"));
    rule.origin.clear();
    check_scope(json, rule);
    return rule;
  } catch (const config::ConfigError& problem) {
    // Lines and columns are those of the text above, which nobody has seen.
    std::string_view message = problem.what();
    if (message.starts_with("rule:")) message.remove_prefix(std::min(message.find(": ") + 2, message.size()));
    throw config::ConfigError(std::string(message));
  }
}

std::string to_toml(const Rule& rule) {
  const auto words = words_of(rule);
  std::string text = "[[rules]]\n";
  // In the order in which people think of a rule.
  for (const auto* key : {"name",       "description", "devices",   "building", "device_type",    "total",
                          "kind",       "property",    "reference", "relative", "window",         "condition",
                          "threshold",  "clear",       "match",     "for",      "hours",          "outside_hours",
                          "severity",   "status",      "channels",  "cooldown", "escalate_after", "escalate_to",
                          "recipients", "conditions"}) {
    if (!words.isMember(key)) continue;
    if (std::string_view(key) == "kind" && words[key] == "threshold") continue;
    text += fmt::format("{} = {}\n", key, toml_of(words[key]));
  }
  return text;
}

}  // namespace wattd::rules
