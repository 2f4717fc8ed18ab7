// Every kind of condition: windows, silence, deviation, several at once, hours of the day.
#include "tests/rules/engine_fixture.h"

namespace wattd::rules {
namespace {

TEST_F(EngineTest, average_over_a_sliding_window_once_it_is_full) {
  use({rule("kind = \"average\"\nproperty = \"temperature\"\nwindow = \"1min\"\nthreshold = 50\n")});
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(next(90).changed.empty()) << "not watched for a minute yet";
  Verdict raised;
  for (int i = 0; i < 12 && raised.changed.empty(); ++i) raised = next(90);
  ASSERT_EQ(raised.changed.size(), 1u);
  EXPECT_NE(raised.changed[0].message.find("average of temperature over 60 s is 90.00"), std::string::npos)
      << raised.changed[0].message;
  int until_resolved = 0;
  const auto is_resolved = [](const Verdict& verdict) {
    return !verdict.changed.empty() && verdict.changed[0].status == AlertStatus::resolved;
  };
  while (!is_resolved(next(10))) ++until_resolved;
  EXPECT_EQ(until_resolved, 29) << "half of the window";
}

TEST_F(EngineTest, windows_are_full_after_a_restart) {
  const auto average = rule("kind = \"average\"\nproperty = \"temperature\"\nwindow = \"15min\"\nthreshold = 50\n");
  Recorded history;
  for (int i = 900; i > 0; --i)
    history.readings["D1"].push_back(
        {.device_id = "D1", .at = now - std::chrono::seconds{i}, .fields = {{"temperature", 90.0}}});
  use({average});
  engine.recall(history, moment());
  EXPECT_EQ(judge(90).changed.size(), 1u);
}

TEST_F(EngineTest, sum_count_minimum_maximum_and_rate) {
  const auto kind = [](const char* name, const char* condition, double threshold) {
    return rule_of(
        fmt::format("name = \"{}\"\ndevices = [\"D1\"]\nkind = \"{}\"\nproperty = \"x\"\nwindow = \"10s\"\n"
                    "condition = \"{}\"\nthreshold = {:.1f}\n",
                    name, name, condition, threshold));
  };
  use({kind("sum", ">", 54), kind("count", "<", 6), kind("minimum", "<", -4), kind("maximum", ">", 99),
       kind("rate", ">", 100)});
  std::map<std::string, int> raised;
  const auto note = [&](const Verdict& verdict) {
    for (const auto& alert : verdict.changed) raised[alert.rule_id] += alert.status == AlertStatus::open;
  };
  for (int i = 0; i < 20; ++i) note(next(5, "D1", "x"));
  EXPECT_TRUE(raised.empty()) << raised.begin()->first;
  note(next(-5, "D1", "x"));
  EXPECT_EQ(raised, (std::map<std::string, int>{{"minimum", 1}}));
  note(next(100, "D1", "x"));
  EXPECT_EQ(raised["maximum"], 1);
  EXPECT_EQ(raised["sum"], 1);
  EXPECT_EQ(raised["rate"], 1) << "from 5 to 100 in nine seconds";
  EXPECT_EQ(raised["count"], 0);
  pass(7s);
  note(judge(5, "D1", "x"));
  EXPECT_EQ(raised["count"], 1);
}

TEST_F(EngineTest, a_late_reading_is_put_into_its_window) {
  use({rule("kind = \"maximum\"\nproperty = \"x\"\nwindow = \"10s\"\nthreshold = 50\n")});
  for (int i = 0; i < 12; ++i) next(5, "D1", "x");
  EXPECT_EQ(judge(60, "D1", "x", 4500ms).raised, 1u);
}

TEST_F(EngineTest, no_data_fires_on_absence_and_ends_with_the_next_reading) {
  use({rule("kind = \"no_data\"\nwindow = \"10min\"\nchannels = [\"email\"]\n")});
  next(1);
  EXPECT_TRUE(wait(9min).changed.empty());
  const auto silent = wait(2min);
  ASSERT_EQ(silent.changed.size(), 1u);
  EXPECT_EQ(silent.changed[0].message, "Alert: r - Device D1 has said nothing for 11 min (threshold: 10 min)");
  EXPECT_TRUE(silent.urgent);
  EXPECT_EQ(silent.notices.size(), 1u);
  EXPECT_TRUE(wait(1h).changed.empty()) << "one alert an episode";
  EXPECT_EQ(next(1).changed.at(0).status, AlertStatus::resolved);
  EXPECT_EQ(wait(11min).raised, 1u) << "and it listens again";
}

TEST_F(EngineTest, no_data_of_one_property_while_others_go_on) {
  use({rule("kind = \"no_data\"\nproperty = \"power\"\nwindow = \"1min\"\n")});
  next(1, "D1", "power");
  std::size_t raised = 0;
  for (int i = 0; i < 70; ++i) {
    next(1);
    raised += tick().raised;
  }
  EXPECT_EQ(raised, 1u);
}

TEST_F(EngineTest, no_data_of_a_device_that_never_spoke_and_after_a_restart) {
  use({rule("kind = \"no_data\"\nwindow = \"10min\"\n")});
  Recorded history;
  history.seen["D1"] = now - 1h;
  engine.recall(history, moment());
  EXPECT_TRUE(tick().changed.empty()) << "whoever speaks up soon after a start was not silent";
  EXPECT_EQ(wait(31s).raised, 1u) << "but who was silent before it for an hour is not given ten minutes more";

  engine = Engine();
  use({rule("kind = \"no_data\"\nwindow = \"10min\"\n")});
  Recorded nothing;
  engine.recall(nothing, moment());
  EXPECT_EQ(wait(11min).raised, 1u);
}

TEST_F(EngineTest, silence_waits_for_its_time_and_its_hours) {
  use({rule("kind = \"no_data\"\nwindow = \"1min\"\nfor = \"5min\"\n"),
       rule_of(
           "name = \"noon\"\ndevices = [\"D1\"]\nkind = \"no_data\"\nwindow = \"1min\"\nhours = \"12:00-13:00\"\n")});
  next(1);
  std::map<std::string, int> minutes;
  for (int minute = 1; minute < 60; ++minute) {
    for (const auto& alert : wait(1min).changed) minutes.try_emplace(alert.rule_id, minute);
  }
  EXPECT_NEAR(minutes["r"], 7, 1);
  EXPECT_NEAR(minutes["noon"], 34, 1) << "11:26 it was";
}

TEST_F(EngineTest, a_step_of_the_wall_clock_makes_nobody_silent) {
  use({rule("kind = \"no_data\"\nwindow = \"10min\"\n")});
  next(1);
  now += 5h;
  EXPECT_TRUE(wait(1s).changed.empty());
  now -= 24h;
  EXPECT_TRUE(wait(1s).changed.empty());
}

TEST_F(EngineTest, out_of_use_devices_are_not_missed) {
  engine.set_devices({{.id = "D1", .status = DeviceStatus::inactive}, {.id = "D2"}}, moment());
  use({rule_of("name = \"r\"\nkind = \"no_data\"\nwindow = \"1min\"\n")});
  Recorded nothing;
  engine.recall(nothing, moment());
  const auto silent = wait(2min);
  ASSERT_EQ(silent.changed.size(), 1u);
  EXPECT_EQ(silent.changed[0].device_id, "D2");
}

TEST_F(EngineTest, a_property_s_silence_counts_on_while_rules_come_and_go) {
  const auto silence = rule("kind = \"no_data\"\nproperty = \"temperature\"\nwindow = \"10min\"\n");
  Recorded history;
  use({silence});
  engine.recall(history, moment());
  judge(20);
  std::size_t raised = 0, minutes = 0;
  for (; raised == 0 && minutes < 30; ++minutes) {
    pass(1min);
    judge(230, "D1", "voltage");
    use({silence, rule_of("name = \"x" + std::to_string(minutes) + "\"\nproperty = \"y\"\nthreshold = 1\n")});
    engine.recall(history, moment());
    raised = tick().raised;
  }
  EXPECT_EQ(minutes, 10u);
}

TEST_F(EngineTest, what_was_said_long_before_a_restart_says_nothing_about_now) {
  engine = Engine({.late = 1min});
  Recorded history;
  history.readings["P1"] = {{.device_id = "P1", .at = now - 50s, .fields = {{"power", 60.0}}}};
  use(
      {rule_of("name = \"r\"\nmatch = \"all\"\ndevices = [\"P2\"]\n"
               "[[rules.conditions]]\ndevice = \"P1\"\nproperty = \"power\"\nthreshold = 50\n"
               "[[rules.conditions]]\nproperty = \"power\"\nthreshold = 50\n")});
  engine.recall(history, moment());
  pass(25s);
  EXPECT_EQ(judge(60, "P2", "power").raised, 0u) << "P1 said so 75 s ago";
}

TEST_F(EngineTest, judges_truth_as_one_and_zero) {
  use({rule("property = \"open\"\ncondition = \"=\"\nthreshold = 1\n")});
  const auto say = [&](bool open) {
    Verdict verdict;
    pass(1s);
    engine.judge({.device_id = "D1", .at = now, .fields = {{"open", open}}}, moment(), verdict);
    return verdict;
  };
  EXPECT_EQ(say(false).raised, 0u);
  EXPECT_EQ(say(true).raised, 1u);
  EXPECT_EQ(say(false).changed.at(0).status, AlertStatus::resolved);
}

TEST_F(EngineTest, what_turns_out_to_be_no_counter_is_not_counted_as_one) {
  SeriesFacts facts{.measurand = "energy_import_total"};
  engine = Engine({}, Calendar(), [&](std::string_view, std::string_view) { return std::optional(facts); });
  const auto rules = std::vector{rule("kind = \"energy\"\nproperty = \"x\"\nwindow = \"1h\"\nthreshold = 10\n")};
  use(rules);
  judge(30'000, "D1", "x");
  facts.measurand = "power_total";
  use(rules);
  std::size_t raised = 0, minutes = 0;
  for (; raised == 0 && minutes < 60; ++minutes) {
    pass(1min);
    raised += judge(30'000, "D1", "x").raised;
  }
  EXPECT_EQ(minutes, 22u) << "30 kW are 10.5 kWh after 21 minutes";
}

TEST_F(EngineTest, deviation_from_what_is_expected) {
  use(
      {rule("kind = \"deviation\"\nproperty = \"power\"\nreference = \"power_forecast\"\nrelative = true\n"
            "threshold = 20\n")});
  EXPECT_TRUE(next(100, "D1", "power").changed.empty()) << "nothing is expected yet";
  EXPECT_TRUE(next(110, "D1", "power_forecast").changed.empty());
  EXPECT_EQ(next(140, "D1", "power").raised, 1u);
  EXPECT_EQ(next(115, "D1", "power").changed.at(0).status, AlertStatus::resolved);
  pass(30min);
  EXPECT_EQ(judge(500, "D1", "power").raised, 0u) << "what was expected half an hour ago says nothing about now";
}

TEST_F(EngineTest, all_or_any_of_conditions_on_several_devices) {
  const std::string conditions =
      "conditions = [ { property = \"x\", threshold = 1 }, { device = \"D2\", property = \"y\", threshold = 1 } ]\n";
  use({rule(conditions), rule_of("name = \"any\"\ndevices = [\"D1\"]\nmatch = \"any\"\n" + conditions)});
  auto verdict = next(2, "D1", "x");
  ASSERT_EQ(verdict.changed.size(), 1u);
  EXPECT_EQ(verdict.changed[0].rule_id, "any");
  verdict = next(2, "D2", "y");
  EXPECT_EQ(verdict.raised, 1u);
  EXPECT_EQ(verdict.changed.at(0).rule_id, "r");
  EXPECT_EQ(verdict.changed.at(0).device_id, "D1");
  verdict = next(0, "D2", "y");
  ASSERT_EQ(verdict.changed.size(), 1u);
  EXPECT_EQ(verdict.changed[0].rule_id, "r");
  verdict = next(0, "D1", "x");
  EXPECT_EQ(verdict.changed.at(0).rule_id, "any");
}

TEST_F(EngineTest, hours_are_those_of_the_place) {
  engine = Engine({}, Calendar("Asia/Kolkata"));
  // 11:26 UTC is 16:56 there, on a Saturday.
  use({rule("property = \"x\"\nthreshold = 1\nhours = \"Sat 17:00-18:00\"\n"),
       rule_of("name = \"outside\"\ndevices = [\"D1\"]\nproperty = \"x\"\nthreshold = 1\n"
               "hours = \"Sat 17:00-18:00\"\noutside_hours = true\n")});
  auto verdict = next(2, "D1", "x");
  ASSERT_EQ(verdict.changed.size(), 1u);
  EXPECT_EQ(verdict.changed[0].rule_id, "outside");
  pass(5min);
  verdict = judge(2, "D1", "x");
  EXPECT_EQ(verdict.raised, 1u);
  EXPECT_EQ(verdict.changed.size(), 2u);
  const auto evening = wait(1h);
  ASSERT_EQ(evening.changed.size(), 1u) << "it ends with the hours, though nothing is read";
  EXPECT_EQ(evening.changed[0].rule_id, "r");
}

TEST_F(EngineTest, a_clock_put_back_during_a_window_stalls_nothing) {
  use({rule("kind = \"average\"\nproperty = \"temperature\"\nwindow = \"1min\"\nthreshold = 50\n"),
       rule_of("name = \"hot\"\ndevices = [\"D1\"]\nproperty = \"temperature\"\nthreshold = 80\nfor = \"10s\"\n"
               "cooldown = \"1min\"\nchannels = [\"email\"]\n")});
  for (int i = 0; i < 90; ++i) next(40);
  now -= 5h;
  std::map<std::string, int> raised;
  for (int i = 0; i < 90; ++i) {
    for (const auto& alert : next(90).changed) raised[alert.rule_id] += alert.count == 1 && alert.stands;
  }
  EXPECT_EQ(raised, (std::map<std::string, int>{{"r", 1}, {"hot", 1}}));
  EXPECT_EQ(engine.active(Severity::medium), 2u);
}

TEST_F(EngineTest, a_clock_put_forward_makes_nothing_last_longer) {
  use({overheat("for = \"10min\"\nescalate_after = \"30min\"\nescalate_to = [\"boss\"]\n")});
  next(60);
  now += 2h;
  EXPECT_EQ(next(60).raised, 0u);
  for (int i = 0; i < 10; ++i) pass(1min), judge(60);
  EXPECT_EQ(engine.active(Severity::high), 1u);
  now += 2h;
  EXPECT_TRUE(wait(10min).notices.empty());
  EXPECT_EQ(events(wait(21min)), std::vector<std::string>{"boss:escalated"});
}

TEST(Hours, are_read_and_written) {
  for (const auto* text : {"Mon-Fri 07:00-18:00", "Sat,Sun", "22:00-06:00", "Fri-Mon 23:00-24:00"})
    EXPECT_TRUE(hours_from(text)) << text;
  for (const auto* text : {"", "Mon-Fri ", "25:00-26:00", "07:00-07:00", "Mo 07:00-08:00", "07:00", "07:60-08:00"})
    EXPECT_FALSE(hours_from(text)) << text;
  for (const auto* text : {"Mon-Fri 07:00-18:00", "Sat,Sun", "22:00-06:00"}) {
    const auto hours = *hours_from(text);
    EXPECT_EQ(hours_from(to_string(hours)), hours) << text;
  }
  const auto night = *hours_from("Fri 22:00-06:00");
  EXPECT_TRUE(night.hold(4, 23 * 60));
  EXPECT_TRUE(night.hold(5, 5 * 60)) << "Saturday morning is Friday's night";
  EXPECT_FALSE(night.hold(4, 5 * 60));
}

}  // namespace
}  // namespace wattd::rules
