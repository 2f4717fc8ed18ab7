#include "telemetry/gateway_clock.h"

#include <gtest/gtest.h>

namespace wattd {
namespace {

using namespace std::chrono_literals;

const Timestamp kNoon = from_unix_us(1'770'465'600'000'000);

struct FakeMachine final : Machine {
  std::optional<Time> read() const override { return Time{wall, boot}; }
  std::chrono::microseconds since_boot() const override { return boot; }
  bool is_synchronised() const override { return synchronised; }
  std::string boot_id() const override { return "b"; }
  void advance(std::chrono::microseconds by) { wall += by, boot += by; }

  Timestamp wall = kNoon;
  std::chrono::microseconds boot = 10min;
  bool synchronised = false;
};

struct GatewayClockTest : testing::Test {
  /// Lets time pass, a second at a time, as the daemon watches.
  void pass(std::chrono::seconds span) {
    for (auto left = span; left > 0s; left -= 1s) {
      const auto before = clock.stamp().at;
      machine.advance(1s);
      clock.watch();
      EXPECT_GT(clock.stamp().at, before);
    }
  }
  FakeMachine machine;
  GatewayClock clock{machine};
};

TEST_F(GatewayClockTest, is_trusted_once_the_kernel_says_so_and_ignores_steps_until_then) {
  clock.set_trust({});
  EXPECT_FALSE(clock.is_trusted());
  EXPECT_EQ(clock.stamp().quality, Quality::clock_unsynced);
  machine.wall += 72h;
  pass(5s);
  EXPECT_EQ(clock.stamp().at, kNoon + 5s);
  EXPECT_EQ(clock.boot().assumed, kNoon - 10min);
  machine.synchronised = true;
  clock.watch();
  EXPECT_TRUE(clock.is_trusted());
  EXPECT_EQ(clock.stamp().at, kNoon + 72h + 5s);
  EXPECT_EQ(clock.stamp().quality, Quality::good);
  EXPECT_EQ(clock.boot().known, kNoon + 72h - 10min);
  EXPECT_EQ(clock.steps(), 0u);
}

TEST_F(GatewayClockTest, stays_trusted_when_the_time_service_is_lost) {
  machine.synchronised = true;
  clock.set_trust({});
  machine.synchronised = false;
  pass(3s);
  EXPECT_TRUE(clock.is_trusted());
}

TEST_F(GatewayClockTest, trusts_a_battery_unless_it_says_less_than_what_is_past) {
  clock.set_trust({.by = ClockTrust::rtc, .past = kNoon + 1h});
  EXPECT_FALSE(clock.is_trusted());
  machine.wall += 2h;
  clock.watch();
  EXPECT_TRUE(clock.is_trusted());
  EXPECT_EQ(clock.stamp().at, kNoon + 2h);
}

TEST_F(GatewayClockTest, remembers_that_it_was_known_in_this_boot_unless_it_was_set_since) {
  clock.set_trust({.known = kNoon - 10min});
  EXPECT_TRUE(clock.is_trusted());
  GatewayClock another(machine);
  another.set_trust({.known = kNoon - 20min});
  EXPECT_FALSE(another.is_trusted());
}

TEST_F(GatewayClockTest, follows_a_step_forward_and_says_so_for_a_minute) {
  machine.synchronised = true;
  clock.set_trust({});
  machine.wall += 20min;
  pass(1s);
  EXPECT_EQ(clock.stamp().at, kNoon + 20min + 1s);
  EXPECT_EQ(clock.stamp().quality, Quality::clock_adjusted);
  pass(61s);
  EXPECT_EQ(clock.stamp().quality, Quality::good);
  EXPECT_EQ(clock.steps(), 1u);
}

TEST_F(GatewayClockTest, makes_up_for_a_step_back_at_half_speed_so_that_no_stamp_comes_twice) {
  machine.synchronised = true;
  clock.set_trust({});
  machine.wall -= 10min;
  pass(5min);  // each second later than the one before: pass() looks
  EXPECT_NEAR((clock.stamp().at - kNoon) / 1s, 150, 1);
  EXPECT_EQ(clock.stamp().quality, Quality::clock_adjusted);
  pass(16min);
  EXPECT_EQ(clock.stamp().at, machine.wall);
  EXPECT_EQ(clock.stamp().quality, Quality::good);
}

TEST_F(GatewayClockTest, follows_a_long_step_back) {
  machine.synchronised = true;
  clock.set_trust({});
  machine.wall -= 24h;
  machine.advance(1s);
  clock.watch();
  EXPECT_EQ(clock.stamp().at, kNoon - 24h + 1s);
  EXPECT_EQ(clock.stamp().quality, Quality::clock_adjusted);
}

TEST_F(GatewayClockTest, takes_another_step_while_it_still_makes_up_for_one) {
  machine.synchronised = true;
  clock.set_trust({});
  machine.wall -= 10min;
  pass(60s);
  machine.wall -= 5min;
  pass(60s);
  machine.wall += 30min;
  pass(60s);
  EXPECT_EQ(clock.stamp().at, machine.wall);
  EXPECT_EQ(clock.steps(), 3u);
}

TEST_F(GatewayClockTest, runs_on_when_it_is_stepped_forward_a_little_while_it_makes_up_for_a_step_back) {
  machine.synchronised = true;
  clock.set_trust({});
  machine.wall -= 30min;
  pass(60s);
  machine.wall += 10min;
  pass(30min);
  machine.wall += 10min;
  pass(60min);
  EXPECT_EQ(clock.stamp().at, machine.wall);
}

TEST(ThisMachine, says_the_same_of_both_clocks_twice) {
  const ThisMachine machine;
  // A busy machine may not come to read both clocks at one instant at once.
  std::optional<Machine::Time> a;
  std::optional<Machine::Time> b;
  while (!a) a = machine.read();
  while (!b) b = machine.read();
  EXPECT_LT(std::chrono::abs((a->wall - a->since_boot) - (b->wall - b->since_boot)), 50ms);
  EXPECT_EQ(machine.boot_id().size(), 36u);
  EXPECT_GT(build_date(), kNoon - 24h * 365);
}

}  // namespace
}  // namespace wattd
