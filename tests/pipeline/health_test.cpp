#include "pipeline/health.h"

#include <gtest/gtest.h>

namespace wattd::pipeline {
namespace {

using namespace std::chrono_literals;

struct HealthTest : testing::Test {
  void say(int count, Instant::duration every, std::chrono::microseconds response = 50ms) {
    for (int i = 0; i < count; ++i) now += every, tracker.reading(now, response);
  }
  Health health() { return tracker.health(now).value(); }

  Instant now{1000h};
  HealthTracker tracker;
};

TEST_F(HealthTest, is_unknown_before_anybody_can_know) {
  EXPECT_FALSE(tracker.health(now));
  say(1, 1s);
  EXPECT_FALSE(tracker.health(now));
}

TEST_F(HealthTest, is_whole_for_a_device_that_does_what_it_does) {
  say(100, 15min);
  EXPECT_NEAR(health().score, 100, .5);
  EXPECT_NEAR(health().interval_s, 900, 1);
  now += 20min;
  EXPECT_NEAR(health().score, 100, .5) << "the next reading is only due";
}

TEST_F(HealthTest, falls_with_outages_refusals_and_slow_answers) {
  say(3600, 1s);
  now += 1h;
  const auto silent = health();
  EXPECT_NEAR(silent.uptime, .5, .01);
  EXPECT_NEAR(silent.missing, .5, .01);
  EXPECT_NEAR(silent.score, 20 + 15 + 20 + 10, .5);
  say(3600, 1s);
  EXPECT_NEAR(health().uptime, 2. / 3, .01);
  for (int i = 0; i < 800; ++i) tracker.refused(now);
  EXPECT_NEAR(health().error_rate, .1, .01);
  HealthTracker slow;
  for (int i = 0; i < 50; ++i) now += 1s, slow.reading(now, 3s);
  EXPECT_NEAR(slow.health(now)->score, 95, .1);
}

TEST_F(HealthTest, forgets_after_a_day) {
  say(600, 1s);
  now += 2h;
  say(25 * 3600, 1s);
  EXPECT_NEAR(health().score, 100, .5);
}

TEST_F(HealthTest, learns_that_a_device_has_slowed_down) {
  say(100, 1s);
  say(400, 60s);
  EXPECT_NEAR(health().interval_s, 60, 5);
}

}  // namespace
}  // namespace wattd::pipeline
