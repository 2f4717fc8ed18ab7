// Energy of a quarter hour and what it will come to, of one meter and of a building, and after a restart.
#include "tests/rules/engine_fixture.h"

namespace wattd::rules {
namespace {

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

}  // namespace
}  // namespace wattd::rules
