#include "rules/engine.h"

#include <gtest/gtest.h>

namespace wattd::rules {
namespace {

using namespace std::chrono_literals;

struct EngineTest : testing::Test {
  static Rule overheat() {
    return {.id = "r1",
            .name = "Bulb Overheat",
            .scope = RuleScope::selected_devices,
            .device_ids = {"D1"},
            .property = "temperature",
            .threshold = 50,
            .severity = Severity::high,
            .channels = {"email"}};
  }
  Verdict judge(double temperature, const std::string& device = "D1") {
    now += 1s;
    Verdict verdict;
    engine.judge({.device_id = device, .at = now, .fields = {{"temperature", temperature}}}, nullptr, now, verdict);
    return verdict;
  }
  Timestamp now = from_unix_us(1'770'463'560'000'000);
  Engine engine;
};

TEST_F(EngineTest, raises_one_alert_for_as_long_as_the_condition_holds) {
  engine.set_rules({overheat()}, now);
  EXPECT_TRUE(judge(50).changed.empty());
  const auto raised = judge(65);
  ASSERT_EQ(raised.changed.size(), 1u);
  EXPECT_TRUE(raised.urgent);
  const auto& alert = raised.changed[0];
  EXPECT_EQ(alert.message, "Alert: Bulb Overheat - Device D1 temperature is 65.00 (threshold: > 50.00)");
  EXPECT_EQ(alert.status, AlertStatus::open);
  EXPECT_EQ(alert.actual_value, 65);
  ASSERT_EQ(raised.notices.size(), 1u);
  EXPECT_TRUE(judge(66).changed.empty());
  EXPECT_EQ(engine.active(Severity::high), 1u);
  const auto resolved = judge(40);
  ASSERT_EQ(resolved.changed.size(), 1u);
  EXPECT_EQ(resolved.changed[0].id, alert.id);
  EXPECT_EQ(resolved.changed[0].status, AlertStatus::resolved);
  EXPECT_EQ(resolved.changed[0].count, 2u);
  EXPECT_EQ(resolved.notices[0].event, "resolved");
  EXPECT_EQ(engine.active(Severity::high), 0u);
}

TEST_F(EngineTest, keeps_to_its_scope) {
  engine.set_rules({overheat()}, now);
  EXPECT_TRUE(judge(65, "D2").changed.empty());
  auto everywhere = overheat();
  everywhere.scope = RuleScope::all_devices;
  engine.set_rules({everywhere}, now);
  EXPECT_EQ(judge(65, "D2").changed.size(), 1u);
}

TEST_F(EngineTest, tells_nobody_twice_within_the_cooldown_but_still_raises) {
  engine.set_rules({overheat()}, now);
  EXPECT_EQ(judge(65).notices.size(), 1u);
  judge(40);
  const auto again = judge(65);
  EXPECT_EQ(again.changed.size(), 1u);
  EXPECT_TRUE(again.notices.empty());
  judge(40);
  now += 15min;
  EXPECT_EQ(judge(65).notices.size(), 1u);
}

TEST_F(EngineTest, knows_all_six_operators) {
  const auto met = [&](Comparison comparison, double value) {
    auto rule = overheat();
    rule.condition = comparison;
    Engine fresh;
    fresh.set_rules({rule}, now);
    Verdict verdict;
    fresh.judge({.device_id = "D1", .at = now, .fields = {{"temperature", value}}}, nullptr, now, verdict);
    return !verdict.changed.empty();
  };
  EXPECT_TRUE(met(Comparison::greater, 51) && !met(Comparison::greater, 50));
  EXPECT_TRUE(met(Comparison::less, 49) && !met(Comparison::less, 50));
  EXPECT_TRUE(met(Comparison::greater_or_equal, 50) && !met(Comparison::greater_or_equal, 49));
  EXPECT_TRUE(met(Comparison::less_or_equal, 50) && !met(Comparison::less_or_equal, 51));
  EXPECT_TRUE(met(Comparison::equal, 50) && !met(Comparison::equal, 51));
  EXPECT_TRUE(met(Comparison::not_equal, 51) && !met(Comparison::not_equal, 50));
}

TEST_F(EngineTest, finds_a_field_by_its_measurand) {
  auto rule = overheat();
  rule.property = "temperature_internal";
  engine.set_rules({rule}, now);
  const auto schema = bulb_schema();
  Verdict verdict;
  engine.judge({.device_id = "D1", .at = now, .fields = {{"temperature", 65.0}}}, &schema, now, verdict);
  EXPECT_EQ(verdict.changed.size(), 1u);
}

TEST_F(EngineTest, ignores_paused_rules_texts_and_late_readings) {
  auto paused = overheat();
  paused.status = RuleStatus::paused;
  engine.set_rules({paused}, now);
  EXPECT_TRUE(judge(65).changed.empty());
  engine.set_rules({overheat()}, now);
  Verdict verdict;
  engine.judge({.device_id = "D1", .at = now, .fields = {{"temperature", std::string("hot")}}}, nullptr, now, verdict);
  EXPECT_TRUE(verdict.changed.empty());
  judge(40);
  engine.judge({.device_id = "D1", .at = now - 1h, .fields = {{"temperature", 65.0}}}, nullptr, now, verdict);
  EXPECT_TRUE(verdict.changed.empty());
}

TEST_F(EngineTest, takes_up_an_alert_that_was_active_before_a_restart) {
  engine.set_rules({overheat()}, now);
  engine.restore({{.id = "a1", .rule_id = "r1", .device_id = "D1", .status = AlertStatus::acknowledged, .count = 7}},
                 now);
  for (const auto& alert : judge(65).changed) EXPECT_EQ(alert.id, "a1");
  const auto resolved = judge(40);
  ASSERT_EQ(resolved.changed.size(), 1u);
  EXPECT_EQ(resolved.changed[0].id, "a1");
}

TEST_F(EngineTest, resolves_the_alerts_of_a_rule_that_is_gone) {
  engine.set_rules({overheat()}, now);
  judge(65);
  auto paused = overheat();
  paused.status = RuleStatus::paused;
  const auto resolved = engine.set_rules({paused}, now);
  ASSERT_EQ(resolved.size(), 1u);
  EXPECT_EQ(resolved[0].status, AlertStatus::resolved);
  EXPECT_EQ(engine.active(Severity::high), 0u);
  EXPECT_EQ(engine.restore({{.id = "a1", .rule_id = "gone", .device_id = "D1"}}, now).size(), 1u);
}

TEST(ParseRule, says_where_a_rule_is_wrong) {
  const auto table =
      config::parse("[[rules]]\nname = \"x\"\nproperty = \"t\"\ncondition = \"=>\"\nthreshold = 1\n", "r.toml")
          .tables("rules")[0];
  try {
    parse_rule(table);
    FAIL();
  } catch (const config::ConfigError& problem) {
    EXPECT_STREQ(problem.what(), "r.toml:4:13: rules[0].condition is '=>'; expected one of >, <, >=, <=, =, !=");
  }
}

}  // namespace
}  // namespace wattd::rules
