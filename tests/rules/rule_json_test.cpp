#include "rules/json.h"

#include <gtest/gtest.h>
#include <json/reader.h>

#include "rules/engine.h"

namespace wattd::rules {
namespace {

Json::Value json(const std::string& text) {
  Json::Value value;
  Json::CharReaderBuilder builder;
  std::string problem;
  const std::unique_ptr<Json::CharReader> reader(builder.newCharReader());
  EXPECT_TRUE(reader->parse(text.data(), text.data() + text.size(), &value, &problem)) << problem;
  return value;
}

std::string complaint(const std::string& text) {
  try {
    rule_from(json(text));
  } catch (const config::ConfigError& problem) {
    return problem.what();
  }
  return "nothing";
}

TEST(RuleJson, takes_what_the_handover_shows_and_says_it_again) {
  const auto rule = rule_from(json(R"({"rule_name": "High Temperature Alert", "description": "Alert when hot",
    "scope": "selected_devices", "device_ids": ["D1"], "property": "temperature", "condition": ">", "threshold": 60.0,
    "notification_channels": ["email", "whatsapp"], "cooldown_minutes": 15})"));
  EXPECT_EQ(rule.device_ids, std::vector<std::string>{"D1"});
  EXPECT_EQ(rule.conditions.at(0).threshold, 60);
  EXPECT_EQ(rule.cooldown, std::chrono::minutes{15});
  EXPECT_EQ(rule.channels, (std::vector<std::string>{"email", "whatsapp"}));
  const auto said = to_json(rule);
  EXPECT_EQ(said["rule_name"], "High Temperature Alert");
  EXPECT_EQ(said["condition"], ">");
  EXPECT_EQ(said["cooldown_minutes"], 15);
  EXPECT_EQ(said["scope"], "selected_devices");
}

TEST(RuleJson, takes_the_older_design_s_names) {
  const auto rule = rule_from(json(R"({"name": "Bulb Overheat", "device_id": "D1", "property": "temperature",
    "operator": ">", "threshold": 50, "notification_channels": ["email", "whatsapp"]})"));
  EXPECT_EQ(rule.name, "Bulb Overheat");
  EXPECT_EQ(rule.device_ids, std::vector<std::string>{"D1"});
}

TEST(RuleJson, every_rule_survives_json_and_toml) {
  const std::array texts{
      R"({"rule_name": "a", "property": "x", "condition": "<=", "threshold": -1.5e-7, "clear": 0})",
      R"({"rule_name": "quote \" and \\ \n ü", "kind": "average", "window": "90s", "property": "x", "threshold": 1,
          "for": "5min", "hours": "Mon-Fri 22:00-06:00", "outside_hours": true, "severity": "critical",
          "escalate_after": "30min", "escalate_to": ["boss"], "notification_channels": ["email"],
          "recipients": {"email": ["a@b.c"], "boss": ["x"]}, "cooldown_minutes": 0})",
      R"({"rule_name": "c", "building": "hall", "total": true, "kind": "energy", "window": "15min", "property": "e",
          "threshold": 30})",
      R"({"rule_name": "d", "device_type": "t", "match": "any", "conditions": [
          {"kind": "no_data", "window": "10min"},
          {"device": "D 2", "kind": "deviation", "property": "p", "reference": "q", "relative": true, "threshold": 5}]})"};
  for (const auto* text : texts) {
    auto rule = rule_from(json(text));
    auto again = rule_from(to_json(rule));
    EXPECT_EQ(again, rule) << text;
    auto from_file = parse_rule(config::parse(to_toml(rule), "r.toml").tables("rules").at(0));
    from_file.origin.clear();
    EXPECT_EQ(from_file, rule) << to_toml(rule);
  }
}

TEST(RuleJson, complains_about_the_key_and_says_what_was_expected) {
  EXPECT_EQ(complaint(R"({"rule_name": "x", "property": "t", "condition": "=>", "threshold": 1})"),
            "condition is '=>'; expected one of >, <, >=, <=, =, !=");
  EXPECT_EQ(complaint(R"({"rule_name": "x", "scope": "selected_devices", "property": "t", "threshold": 1})"),
            "scope is selected_devices; expected device_ids beside it");
  EXPECT_EQ(complaint(R"({"rule_name": "x", "property": "t", "threshold": 1, "cooldown_minutes": 1.5})"),
            "cooldown_minutes is not a whole number from 0 to 43200");
  EXPECT_NE(complaint(R"({"property": "t", "threshold": 1})").find("name"), std::string::npos);
  EXPECT_NE(complaint(R"({"rule_name": "x", "property": "t", "threshold": 1, "colour": "red"})").find("colour"),
            std::string::npos);
  EXPECT_NE(complaint(R"({"rule_name": "x", "property": "t", "threshold": "hot"})").find("threshold"),
            std::string::npos);
  EXPECT_NE(complaint(R"([])"), "nothing");
}

}  // namespace
}  // namespace wattd::rules
