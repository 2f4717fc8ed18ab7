#include "drivers/modbus/schedule.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "drivers/modbus/patience.h"

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

/// A bus on which time passes as turns take it.
struct ScheduleTest : testing::Test {
  struct Count {
    int fast = 0, slow = 0;
    Instant::duration used{};
  };

  /// Lets the schedule run for a while; a turn takes `took`, of a silent meter `timeout`.
  void run(Schedule& schedule, Instant::duration length, Instant::duration took, Instant::duration timeout = 1200ms) {
    const auto until = now + length;
    while (now < until) {
      const auto turn = schedule.take(now);
      if (!turn) {
        now = std::min(schedule.next(now), until);
        continue;
      }
      const bool is_silent = silent.contains(turn->meter);
      const auto length_of_turn = is_silent ? timeout : turn->slow ? 2 * took : took;
      now += length_of_turn;
      auto& count = counts[turn->meter];
      (turn->slow ? count.slow : count.fast) += 1;
      count.used += length_of_turn;
      if (is_silent) schedule.silent(*turn, length_of_turn, now);
      else schedule.heard(*turn, length_of_turn, now);
    }
  }

  Instant now{};
  std::map<std::size_t, Count> counts;
  std::set<std::size_t> silent;
};

TEST_F(ScheduleTest, keeps_every_period_on_a_bus_that_has_time) {
  Schedule schedule({{1s, 15s}, {5s, 60s}, {0ms, 10s}}, now);
  run(schedule, 10min, 50ms);
  EXPECT_EQ(counts[0].fast + counts[0].slow, 600);
  EXPECT_EQ(counts[0].slow, 40);
  EXPECT_EQ(counts[1].fast + counts[1].slow, 120);
  EXPECT_EQ(counts[1].slow, 10);
  EXPECT_EQ(counts[2].fast, 0);
  EXPECT_EQ(counts[2].slow, 60);
  EXPECT_NEAR(schedule.load(now), .05 + .05 / 15 + .05 / 5 + .05 / 60 + .1 / 10, .01);
}

TEST_F(ScheduleTest, gives_all_the_same_turns_where_time_is_short) {
  Schedule schedule({{1s, 0s}, {1s, 0s}, {2s, 0s}, {1s, 20s}}, now);
  run(schedule, 10min, 500ms);
  const double share = counts[0].fast;
  EXPECT_NEAR(counts[1].fast / share, 1, .02);
  EXPECT_GE(counts[2].fast, 270) << "it wants no more than its share";
  EXPECT_NEAR((counts[3].fast + counts[3].slow) / share, 1, .05);
  EXPECT_NEAR(schedule.load(now), 1, .01);
}

TEST_F(ScheduleTest, gives_silent_meters_a_twentieth_of_what_others_wait_for) {
  std::vector<Schedule::Periods> meters(10, {1s, 0s});
  Schedule alone(meters, now);
  silent = {};
  run(alone, 5min, 300ms);
  int all = 0;
  for (const auto& [meter, count] : counts) all += count.fast;
  counts.clear();
  silent = {3, 7};
  Schedule schedule(meters, now);
  run(schedule, 5min, 300ms);
  int others = 0;
  for (const auto& [meter, count] : counts) others += silent.contains(meter) ? 0 : count.fast;
  EXPECT_GE(others, all * .94);
  for (const auto meter : silent) EXPECT_GE(counts[meter].fast, 4) << "asked again and again all the same";
  EXPECT_LE(counts[3].used + counts[7].used, Instant::duration(5min) / 20 + 2 * 1200ms);
}

TEST_F(ScheduleTest, notices_within_seconds_that_a_meter_is_back) {
  Schedule schedule({{1s, 0s}, {1s, 0s}}, now);
  silent = {1};
  run(schedule, 10min, 50ms);
  silent = {};
  counts.clear();
  run(schedule, 10s, 50ms);
  EXPECT_GE(counts[1].fast, 1);
  EXPECT_FALSE(schedule.is_silent(1));
  counts.clear();
  run(schedule, 10s, 50ms);
  EXPECT_EQ(counts[1].fast, 10);
}

TEST_F(ScheduleTest, leaves_out_the_periods_that_a_stall_has_swallowed) {
  Schedule schedule({{1s, 0s}}, now);
  run(schedule, 10s, 50ms);
  now += 1h;
  counts.clear();
  run(schedule, 10s, 50ms);
  EXPECT_LE(counts[0].fast, 11);
}

TEST(Patience, waits_less_for_a_quick_meter_and_longer_for_one_that_is_late) {
  Patience patience(600ms);
  EXPECT_EQ(patience.timeout(), 600ms);
  for (int i = 0; i < 50; ++i) patience.answered(40ms);
  EXPECT_LT(patience.timeout(), 250ms);
  EXPECT_GE(patience.timeout(), 200ms);
  patience.answered(150ms);
  EXPECT_EQ(patience.timeout(), 550ms);
  patience.lost(0ms);
  EXPECT_EQ(patience.timeout(), 600ms) << "who knows why";
  patience.lost(900ms);
  EXPECT_EQ(patience.timeout(), 1350ms);
  patience.lost(1h);
  EXPECT_EQ(patience.timeout(), 2400ms);
}

}  // namespace
}  // namespace wattd::drivers::modbus
