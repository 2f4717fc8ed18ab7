// Every kind of condition: windows, silence, intervals, deviation, several at once, hours of the day.
#include "tests/rules/engine_fixture.h"

namespace wattd::rules {
namespace {

/// What was read before, from a list.
struct Recorded final : History {
  std::map<std::string, std::vector<Reading>> readings;
  std::map<std::string, Timestamp> seen;

  void visit(const std::string& device, const std::vector<std::string>&, TimeRange range,
             const std::function<void(const Reading&)>& take) override {
    for (const auto& reading : readings[device]) {
      if (range.contains(reading.at)) take(reading);
    }
  }
  std::vector<std::string> fields_of(const std::string&, const std::string& property) override { return {property}; }
  std::optional<Timestamp> last_seen(const std::string& device, const std::string&) override {
    const auto found = seen.find(device);
    return found == seen.end() ? std::nullopt : std::optional(found->second);
  }
};

Rule rule(const std::string& more) { return rule_of("name = \"r\"\ndevices = [\"D1\"]\n" + more); }

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

TEST_F(EngineTest, energy_of_the_quarter_hour_counts_from_its_beginning) {
  use({rule("kind = \"energy\"\nproperty = \"energy_import_total\"\nwindow = \"15min\"\nthreshold = 10\n")});
  // 11:26: 6 kWh in this quarter hour are not 10, and those of the next begin at zero.
  double kwh = 1000;
  const auto minute = [&](double more) {
    pass(1min);
    kwh += more;
    return judge(kwh, "D1", "energy_import_total");
  };
  minute(0);
  EXPECT_TRUE(minute(3).changed.empty());
  EXPECT_TRUE(minute(3).changed.empty());
  std::size_t raised = 0;
  for (int i = 0; i < 15; ++i) raised += minute(0.6).raised;
  EXPECT_EQ(raised, 0u) << "9 kWh in 15 minutes";
  std::size_t minutes = 0;
  while (minute(1).raised == 0) ++minutes;
  EXPECT_NEAR(static_cast<double>(minutes), 10, 2.5);
  // The interval ends, and the alert with it, though the meter says nothing.
  pass(20min);
  EXPECT_EQ(tick().changed.at(0).status, AlertStatus::resolved);
}

TEST_F(EngineTest, a_reading_at_the_end_of_an_interval_says_what_it_came_to) {
  use({rule("kind = \"energy\"\nproperty = \"energy_import_total\"\nwindow = \"15min\"\nthreshold = 9\n")});
  pass(4min);  // 11:30
  double kwh = 100;
  judge(kwh, "D1", "energy_import_total");
  std::size_t raised = 0;
  for (int i = 0; i < 4; ++i) {
    pass(15min);
    raised += judge(kwh += i == 2 ? 1 : 10, "D1", "energy_import_total").raised;
  }
  EXPECT_EQ(raised, 2u) << "10, 10, 1 and 10 kWh: the second goes on with the first";
}

TEST_F(EngineTest, demand_forecast_warns_before_the_quarter_hour_is_over) {
  use({rule("kind = \"demand_forecast\"\nproperty = \"power_total\"\nwindow = \"15min\"\nthreshold = 120\n")});
  // Until 11:30, 90 kW; then 200 kW: (t * 200 + (15 - t) * 200) / 15 > 120 at once, and known within seconds.
  const auto seconds = [&](int count, double watts) {
    std::size_t raised = 0;
    for (int i = 0; i < count; ++i) {
      pass(1s);
      raised += judge(watts, "D1", "power_total").raised;
    }
    return raised;
  };
  EXPECT_EQ(seconds(240, 90'000), 0u);
  EXPECT_EQ(seconds(5, 200'000), 1u);
}

TEST_F(EngineTest, demand_forecast_from_a_counter_agrees_with_what_the_interval_ends_with) {
  use({rule("kind = \"demand_forecast\"\nproperty = \"energy_import_total\"\nwindow = \"15min\"\nthreshold = 119\n")});
  double kwh = 500;
  std::size_t raised = 0, minutes = 0;
  for (; minutes < 60; ++minutes) {
    pass(1min);
    kwh += 2;  // 120 kW
    raised += judge(kwh, "D1", "energy_import_total").raised;
  }
  EXPECT_GE(raised, 1u);
  EXPECT_LE(raised, 5u) << "one an interval at most";
}

TEST_F(EngineTest, the_energy_of_a_building_is_that_of_its_main_meters) {
  engine.set_devices({{.id = "M", .building = "hall"},
                      {.id = "S", .building = "hall", .role = MeterRole::sub, .parent_id = "M"},
                      {.id = "M2", .building = "hall"}},
                     moment());
  use({rule_of(
      "name = \"r\"\nbuilding = \"hall\"\ntotal = true\nkind = \"energy\"\nproperty = \"energy_import_total\"\n"
      "window = \"1h\"\nthreshold = 10\n")});
  std::size_t raised = 0;
  const auto minute = [&](double each) {
    pass(1min);
    for (const auto* meter : {"M", "S", "M2"}) raised += judge(100 + each, meter, "energy_import_total").raised;
  };
  minute(0);
  minute(4.9);
  EXPECT_EQ(raised, 0u) << "M and M2 make 9.8; S is within M";
  minute(5.2);
  EXPECT_EQ(raised, 1u);
}

TEST_F(EngineTest, a_sum_of_other_meters_than_before_begins_with_what_they_have_said) {
  wattd::Device main{.id = "M", .building = "hall"}, second{.id = "M2", .building = "hall", .parent_id = "M"};
  engine.set_devices({main, second}, moment());
  use({rule_of(
      "name = \"r\"\nbuilding = \"hall\"\ntotal = true\nkind = \"energy\"\nproperty = \"energy_import_total\"\n"
      "window = \"1h\"\nthreshold = 10\n")});
  Recorded history;
  std::size_t raised = 0;
  const auto minute = [&](double each) {
    pass(1min);
    for (const auto* meter : {"M", "M2"}) {
      raised += judge(100 + each, meter, "energy_import_total").raised;
      history.readings[meter].push_back(
          {.device_id = meter, .at = now, .fields = {{"energy_import_total", 100 + each}}});
    }
  };
  minute(0);
  minute(6);
  EXPECT_EQ(raised, 0u) << "M2 is within M";
  second.parent_id = "";
  engine.set_device(second, moment());
  EXPECT_TRUE(engine.wants_recall());
  engine.recall(history, moment());
  EXPECT_FALSE(engine.wants_recall());
  minute(6.1);
  EXPECT_EQ(raised, 1u) << "6.1 kWh of each";
}

/// A building's rule over two meters, and what they said since the quarter hour began at 11:30.
struct RestartTest : EngineTest {
  Recorded history;
  Rule rule_for(const std::string& more) {
    return rule_of(
        "name = \"r\"\nbuilding = \"hall\"\ntotal = true\nkind = \"energy\"\nproperty = \"energy_import_total\"\n" +
        more);
  }
  /// Both meters are in the building; the engine knows nothing of before.
  void restart(const Rule& one) {
    engine = Engine();
    engine.set_devices({{.id = "M", .building = "hall"}, {.id = "N", .building = "hall"}}, moment());
    use({one});
    engine.recall(history, moment());
  }
  std::size_t say(const std::string& meter, double kwh) {
    history.readings[meter].push_back({.device_id = meter, .at = now, .fields = {{"energy_import_total", kwh}}});
    return judge(kwh, meter, "energy_import_total").raised;
  }
};

TEST_F(RestartTest, how_long_a_sum_of_meters_has_been_too_much_is_known_after_a_restart) {
  const auto one = rule_for("window = \"15min\"\nthreshold = 10\nfor = \"2min\"\n");
  restart(one);
  pass(4min);
  EXPECT_EQ(say("M", 100) + say("N", 100), 0u);
  for (int second = 0; second < 180; second += 10) {
    pass(10s);
    EXPECT_EQ(say("M", 101) + say("N", 101), 0u);
  }
  pass(1s);
  EXPECT_EQ(say("M", 107) + say("N", 106), 0u) << "13 kWh, and not for two minutes";
  pass(20s);
  restart(one);
  EXPECT_EQ(say("M", 107), 0u) << "for 20 s";
  pass(70s);
  EXPECT_EQ(say("N", 106), 0u) << "for 90 s";
  pass(40s);
  EXPECT_EQ(say("M", 107), 1u) << "for 130 s";
}

TEST_F(RestartTest, an_interval_counts_from_the_last_reading_before_it) {
  const auto one = rule_for("window = \"15min\"\nthreshold = 5\n");
  restart(one);
  pass(3min);
  say("M", 100);  // 11:29
  pass(4min);
  EXPECT_EQ(say("M", 104), 0u) << "3 kWh of it within the quarter hour";
  pass(1min);
  restart(one);
  pass(1min);
  EXPECT_EQ(say("M", 107), 1u) << "6 kWh";
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
