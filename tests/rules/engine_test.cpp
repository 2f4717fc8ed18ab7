#include "tests/rules/engine_fixture.h"

namespace wattd::rules {
namespace {

using Events = std::vector<std::string>;

TEST_F(EngineTest, raises_one_alert_for_as_long_as_the_condition_holds) {
  use({overheat()});
  EXPECT_TRUE(next(50).changed.empty());
  const auto raised = next(65);
  ASSERT_EQ(raised.changed.size(), 1u);
  EXPECT_TRUE(raised.urgent);
  EXPECT_EQ(raised.raised, 1u);
  const auto& alert = raised.changed[0];
  EXPECT_EQ(alert.message, "Alert: Bulb Overheat - Device D1 temperature is 65.00 (threshold: > 50.00)");
  EXPECT_EQ(alert.status, AlertStatus::open);
  EXPECT_EQ(alert.actual_value, 65);
  EXPECT_EQ(events(raised), Events{"email:raised"});
  EXPECT_TRUE(next(66).changed.empty());
  EXPECT_EQ(engine.active(Severity::high), 1u);
  const auto resolved = next(40);
  ASSERT_EQ(resolved.changed.size(), 1u);
  EXPECT_EQ(resolved.changed[0].id, alert.id);
  EXPECT_EQ(resolved.changed[0].status, AlertStatus::resolved);
  EXPECT_EQ(resolved.changed[0].count, 2u);
  EXPECT_FALSE(resolved.changed[0].stands);
  EXPECT_EQ(events(resolved), Events{"email:resolved"});
  EXPECT_EQ(engine.active(Severity::high), 0u);
}

TEST_F(EngineTest, a_duplicate_reading_counts_once) {
  use({overheat()});
  next(65);
  judge(65);
  judge(65);
  EXPECT_EQ(next(40).changed.at(0).count, 1u);
}

TEST_F(EngineTest, keeps_to_its_scope) {
  use({overheat()});
  EXPECT_TRUE(next(65, "D2").changed.empty());
  auto everywhere = overheat();
  everywhere.scope = RuleScope::all_devices, everywhere.device_ids.clear();
  use({everywhere});
  EXPECT_EQ(next(65, "D2").changed.size(), 1u);

  engine.set_devices({{.id = "H1", .type = "heater", .building = "hall"}, {.id = "H2"}}, moment());
  auto of_type = rule_of("name = \"t\"\ndevice_type = \"heater\"\nproperty = \"x\"\nthreshold = 1\n");
  auto of_building = rule_of("name = \"b\"\nbuilding = \"hall\"\nproperty = \"x\"\nthreshold = 1\n");
  use({of_type, of_building});
  EXPECT_EQ(next(2, "H1", "x").changed.size(), 2u);
  EXPECT_TRUE(next(2, "H2", "x").changed.empty());
  // Moved there, it is judged there; taken away, its alert has no reason any more.
  engine.set_device({.id = "H2", .building = "hall"}, moment());
  EXPECT_EQ(next(2, "H2", "x").changed.size(), 1u);
  const auto gone = engine.set_device({.id = "H1", .type = "heater"}, moment());
  ASSERT_EQ(gone.size(), 1u);
  EXPECT_EQ(gone[0].rule_id, "b");
  EXPECT_EQ(gone[0].status, AlertStatus::resolved);
}

TEST_F(EngineTest, tells_nobody_twice_within_the_cooldown_but_still_raises) {
  use({overheat()});
  EXPECT_EQ(next(65).notices.size(), 1u);
  next(40);
  const auto again = next(65);
  EXPECT_EQ(again.changed.size(), 1u);
  EXPECT_TRUE(again.notices.empty());
  // It still stands when the cooldown is over: then somebody has to know.
  EXPECT_TRUE(events(wait(14min)).empty());
  EXPECT_EQ(events(wait(2min)), Events{"email:raised"});
}

TEST_F(EngineTest, cooldown_is_of_a_rule_and_a_device) {
  auto everywhere = overheat();
  everywhere.scope = RuleScope::all_devices, everywhere.device_ids.clear();
  use({everywhere});
  EXPECT_EQ(next(65, "D1").notices.size(), 1u);
  EXPECT_EQ(next(65, "D2").notices.size(), 1u);
}

TEST_F(EngineTest, knows_all_six_operators) {
  const auto met = [&](Comparison comparison, double value) {
    auto rule = overheat();
    rule.conditions[0].comparison = comparison;
    Engine fresh;
    fresh.set_rules({rule}, moment());
    Verdict verdict;
    fresh.judge({.device_id = "D1", .at = now, .fields = {{"temperature", value}}}, moment(), verdict);
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
  engine = Engine({}, Calendar(), [](std::string_view, std::string_view field) {
    return std::optional<SeriesFacts>({field == "temperature" ? "temperature_internal" : std::string(field), {}});
  });
  auto rule = overheat();
  rule.conditions[0].property = "temperature_internal";
  use({rule});
  EXPECT_EQ(next(65).changed.size(), 1u);
}

TEST_F(EngineTest, ignores_paused_rules_texts_and_what_is_no_number) {
  auto paused = overheat();
  paused.status = RuleStatus::paused;
  use({paused});
  EXPECT_TRUE(next(65).changed.empty());
  use({overheat()});
  Verdict verdict;
  engine.judge({.device_id = "D1", .at = now, .fields = {{"temperature", std::string("hot")}}}, moment(), verdict);
  engine.judge({.device_id = "D1", .at = now, .fields = {{"temperature", std::numeric_limits<double>::infinity()}}},
               moment(), verdict);
  EXPECT_TRUE(verdict.changed.empty());
}

TEST_F(EngineTest, hysteresis_holds_until_the_clear_level_is_passed) {
  use({overheat("clear = 45\n")});
  next(51);
  EXPECT_TRUE(next(47).changed.empty());
  EXPECT_TRUE(next(46).changed.empty());
  EXPECT_EQ(next(45).changed.at(0).status, AlertStatus::resolved);
  EXPECT_TRUE(next(47).changed.empty()) << "it has to pass the threshold again";
}

TEST_F(EngineTest, waits_until_it_has_held_for_so_long) {
  use({overheat("for = \"5min\"\n")});
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(judge(60).changed.empty());
    pass(1min);
  }
  EXPECT_TRUE(judge(49).changed.empty()) << "it begins again";
  for (int i = 0; i < 5; ++i) {
    pass(1min);
    EXPECT_TRUE(judge(60).changed.empty()) << i;
  }
  pass(1min);
  EXPECT_EQ(judge(60).changed.size(), 1u);
}

TEST_F(EngineTest, what_comes_late_is_written_down_and_told_to_nobody) {
  use({overheat()});
  next(40);
  const auto late = judge(65, "D1", "temperature", 20min);
  ASSERT_EQ(late.changed.size(), 1u);
  EXPECT_TRUE(late.changed[0].is_late);
  EXPECT_EQ(late.changed[0].status, AlertStatus::resolved) << "what came after it did not meet the rule";
  EXPECT_TRUE(late.notices.empty());
  EXPECT_EQ(engine.active(Severity::high), 0u);
  // Not so late: it is over, but somebody should hear of it.
  const auto past = judge(66, "D1", "temperature", 2min);
  ASSERT_EQ(past.changed.size(), 1u);
  EXPECT_FALSE(past.changed[0].is_late);
}

TEST_F(EngineTest, a_backlog_that_goes_on_until_now_is_told_once_it_has_arrived_there) {
  use({overheat()});
  EXPECT_TRUE(judge(65, "D1", "temperature", 40min).notices.empty());
  EXPECT_TRUE(judge(65, "D1", "temperature", 30min).notices.empty());
  const auto arrived = judge(65, "D1", "temperature", 1min);
  ASSERT_EQ(arrived.changed.size(), 1u);
  EXPECT_FALSE(arrived.changed[0].is_late);
  EXPECT_EQ(arrived.changed[0].count, 3u);
  EXPECT_EQ(events(arrived), Events{"email:raised"});
}

TEST_F(EngineTest, what_comes_once_more_is_no_news) {
  use({overheat("cooldown = \"0s\"\n")});
  next(60);
  next(10);
  const auto again = judge(60, "D1", "temperature", 1s);
  EXPECT_TRUE(again.changed.empty());
  EXPECT_TRUE(again.notices.empty());
  pass(10s);
  judge(10);
  EXPECT_EQ(judge(70, "D1", "temperature", 5s).raised, 1u) << "this one nobody knew";
  EXPECT_EQ(judge(70, "D1", "temperature", 5s).raised, 0u);
}

TEST_F(EngineTest, a_rule_that_is_changed_keeps_its_alert_until_it_has_judged) {
  use({overheat("cooldown = \"0s\"\n")});
  const auto id = next(60).changed.at(0).id;
  auto changed = overheat("cooldown = \"0s\"\n");
  changed.conditions[0].threshold = 55;
  use({changed});
  EXPECT_TRUE(wait(1s).changed.empty());
  EXPECT_EQ(next(60).raised, 0u);
  const auto over = next(52);
  ASSERT_EQ(over.changed.size(), 1u);
  EXPECT_EQ(over.changed[0].id, id);
}

TEST_F(EngineTest, whoever_was_told_hears_the_end_also_of_a_rule_that_goes) {
  use({overheat()});
  next(60);
  engine.set_rules({}, moment());
  const auto notices = engine.take_notices();
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(notices[0].event, "resolved");
  EXPECT_TRUE(engine.take_notices().empty());
}

TEST_F(EngineTest, an_end_during_maintenance_is_told_where_its_beginning_was) {
  use({overheat()});
  next(60);
  engine.set_silences({{.id = "s", .from = now, .to = now + 1h}});
  wait(1s);
  EXPECT_EQ(events(next(10)), Events{"email:resolved"});
}

TEST_F(EngineTest, an_alert_that_comes_and_goes_stands_until_it_has_been_quiet) {
  use({overheat("cooldown = \"0s\"\n")});
  int told = 0, raised = 0;
  for (int i = 0; i < 20; ++i) {
    for (const double value : {65.0, 40.0}) {
      const auto verdict = next(value);
      told += static_cast<int>(verdict.notices.size());
      raised += static_cast<int>(verdict.raised);
    }
  }
  EXPECT_EQ(raised, 4);
  EXPECT_EQ(told, 7) << "the fourth stands";
  EXPECT_EQ(engine.active(Severity::high), 1u);
  EXPECT_TRUE(wait(9min).changed.empty());
  const auto quiet = wait(2min);
  ASSERT_EQ(quiet.changed.size(), 1u);
  EXPECT_TRUE(quiet.changed[0].is_flapping);
  EXPECT_EQ(quiet.changed[0].status, AlertStatus::resolved);
  EXPECT_EQ(events(quiet), Events{"email:resolved"});
}

TEST_F(EngineTest, escalates_what_nobody_acknowledges) {
  use({overheat("escalate_after = \"30min\"\nescalate_to = [\"boss\"]\n")});
  auto alert = next(65).changed.at(0);
  EXPECT_TRUE(wait(29min).notices.empty());
  EXPECT_EQ(events(wait(2min)), Events{"boss:escalated"});
  EXPECT_TRUE(wait(1h).notices.empty()) << "once";
  EXPECT_EQ(events(next(40)), (Events{"email:resolved", "boss:resolved"}));

  pass(1h);
  alert = next(65).changed.at(0);
  alert.status = AlertStatus::acknowledged;
  engine.replace(alert);
  EXPECT_TRUE(wait(2h).notices.empty()) << "somebody knows";
}

TEST_F(EngineTest, maintenance_tells_nobody_and_what_stands_after_it_does) {
  use({overheat()});
  engine.set_silences({{.id = "s", .device_ids = {"D1"}, .from = now, .to = now + 1h}});
  const auto raised = next(65);
  ASSERT_EQ(raised.changed.size(), 1u);
  EXPECT_EQ(raised.changed[0].status, AlertStatus::suppressed);
  EXPECT_TRUE(raised.notices.empty());
  const auto over = wait(1h);
  EXPECT_EQ(over.changed.at(0).status, AlertStatus::open);
  EXPECT_EQ(events(over), Events{"email:raised"});
}

TEST_F(EngineTest, takes_up_an_alert_that_was_active_before_a_restart) {
  use({overheat()});
  engine.restore({{.id = "a1",
                   .rule_id = "Bulb Overheat",
                   .device_id = "D1",
                   .status = AlertStatus::acknowledged,
                   .count = 7,
                   .notified_at = now}},
                 moment());
  EXPECT_EQ(next(65).raised, 0u);
  const auto resolved = next(40);
  ASSERT_EQ(resolved.changed.size(), 1u);
  EXPECT_EQ(resolved.changed[0].id, "a1");
  EXPECT_EQ(resolved.changed[0].count, 8u);
  EXPECT_EQ(events(resolved), Events{"email:resolved"});
  EXPECT_TRUE(next(65).notices.empty()) << "the cooldown is remembered";
}

TEST_F(EngineTest, what_a_person_resolved_is_not_raised_again_while_it_is_still_met) {
  use({overheat()});
  auto alert = next(65).changed.at(0);
  alert.status = AlertStatus::resolved;
  engine.replace(alert);
  EXPECT_EQ(engine.active(Severity::high), 0u);
  EXPECT_EQ(next(66).raised, 0u);
  EXPECT_TRUE(next(40).notices.empty()) << "it was told when the person did it";
  EXPECT_EQ(next(65).raised, 1u);
}

TEST_F(EngineTest, resolves_the_alerts_of_a_rule_that_is_gone) {
  use({overheat()});
  next(65);
  auto paused = overheat();
  paused.status = RuleStatus::paused;
  const auto resolved = engine.set_rules({paused}, moment());
  ASSERT_EQ(resolved.size(), 1u);
  EXPECT_EQ(resolved[0].status, AlertStatus::resolved);
  EXPECT_EQ(engine.active(Severity::high), 0u);
  EXPECT_EQ(engine.restore({{.id = "a1", .rule_id = "gone", .device_id = "D1"}}, moment()).size(), 1u);
}

TEST_F(EngineTest, a_rule_whose_name_or_channels_change_keeps_its_state) {
  use({overheat("for = \"10s\"\n")});
  for (int i = 0; i < 8; ++i) next(65);
  auto renamed = overheat("for = \"10s\"\n");
  renamed.description = "hot", renamed.channels = {"telegram"};
  use({renamed});
  next(65);
  next(65);
  EXPECT_EQ(events(next(65)), Events{"telegram:raised"});
}

TEST_F(EngineTest, a_step_of_the_clock_back_does_not_hold_a_notice_back_for_ever) {
  use({overheat("cooldown = \"1min\"\n")});
  next(65);
  next(40);
  now -= 5h;
  EXPECT_EQ(next(65).raised, 1u);
  EXPECT_EQ(engine.active(Severity::high), 1u);
  EXPECT_TRUE(wait(30s).notices.empty()) << "nor does it come early";
  EXPECT_EQ(wait(1min).notices.size(), 1u);
}

TEST(ParseRule, says_where_a_rule_is_wrong) {
  const auto complaint = [](const std::string& toml) -> std::string {
    try {
      rule_of(toml);
    } catch (const config::ConfigError& problem) {
      return problem.what();
    }
    return "nothing";
  };
  EXPECT_EQ(complaint("name = \"x\"\nproperty = \"t\"\ncondition = \"=>\"\nthreshold = 1\n"),
            "r.toml:4:13: rules[0].condition is '=>'; expected one of >, <, >=, <=, =, !=");
  const std::string base = "name = \"x\"\nproperty = \"t\"\nthreshold = 1\n";
  EXPECT_NE(complaint(base + "kind = \"average\"\n").find("length of the sliding window"), std::string::npos);
  EXPECT_NE(complaint(base + "clear = 2\n").find("at most the threshold"), std::string::npos);
  EXPECT_NE(complaint(base + "hours = \"Mon-Fry 7-18\"\n").find("Mon-Fri 07:00-18:00"), std::string::npos);
  EXPECT_NE(complaint(base + "kind = \"energy\"\nwindow = \"7min\"\n").find("divide a day"), std::string::npos);
  EXPECT_NE(complaint(base + "total = true\n").find("only with building"), std::string::npos);
  EXPECT_NE(complaint(base + "escalate_to = [\"a\"]\n").find("both escalate_after and escalate_to"), std::string::npos);
  EXPECT_NE(complaint(base + "colour = \"red\"\n").find("colour"), std::string::npos);
  EXPECT_NE(complaint("name = \"x\"\nkind = \"no_data\"\nthreshold = 3\n").find("expected none"), std::string::npos);
  EXPECT_EQ(complaint("name = \"x\"\nproperty = \"t\"\nthreshold = nan\n"),
            "r.toml:4:13: rules[0].threshold is nan; expected a number");
}

TEST(CheckLimits, counts_what_is_named_and_what_holds_everywhere) {
  std::vector<Rule> rules(3);
  rules[0].scope = rules[1].scope = RuleScope::selected_devices;
  rules[0].device_ids = {"A"}, rules[1].device_ids = {"A", "B"};
  EXPECT_TRUE(check_limits(rules, {.most_per_device = 3}));
  const auto over = check_limits(rules, {.most_per_device = 2});
  ASSERT_FALSE(over);
  EXPECT_NE(over.error().message.find("A would have 3 active rules"), std::string::npos) << over.error().message;
}

}  // namespace
}  // namespace wattd::rules
