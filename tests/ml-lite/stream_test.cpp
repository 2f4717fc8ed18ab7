#include "ml-lite/stream/detector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "ml-lite/model_file.h"
#include "tests/ml-lite/series.h"

namespace wattd::ml {
namespace {

constexpr LocalTime kMonday{std::chrono::seconds(1'770'595'200)};  // 2026-02-09 00:00

/// Judges an hour a value from Monday on. Shape: a judgement a value.
std::vector<StreamDetector::Judgement> judged(const std::vector<double>& values, StreamDetector detector = {}) {
  std::vector<StreamDetector::Judgement> result;
  for (std::size_t i = 0; i < values.size(); ++i)
    result.push_back(detector.judge(kMonday + std::chrono::hours(i), values[i]));
  return result;
}

std::size_t alarms(const std::vector<StreamDetector::Judgement>& judgements, std::size_t from, std::size_t to) {
  std::size_t count = 0;
  for (auto i = from; i < to; ++i) count += judgements[i].score >= StreamDetector::kAlarm;
  return count;
}

TEST(StreamDetectorTest, a_quiet_building_raises_almost_no_alarm) {
  const auto judgements = judged(building_load(24 * 7 * 30));
  EXPECT_LE(alarms(judgements, 24 * 7, judgements.size()), 5u);
  const auto& noon = judgements[24 * 7 * 20 + 12];
  EXPECT_NEAR(noon.expected, 130, 10);
}

TEST(StreamDetectorTest, what_is_put_in_is_told_and_named) {
  const auto clean = building_load(24 * 7 * 12);
  const std::size_t at = 24 * 7 * 9 + 10;
  auto spike = clean, stuck = clean, outage = clean;
  spike[at] *= 4;
  for (auto i = at; i < at + 20; ++i) stuck[i] = stuck[at], outage[i] = 0;
  const auto jump = judged(spike);
  EXPECT_GE(jump[at].score, StreamDetector::kAlarm);
  EXPECT_EQ(to_string(jump[at].most), "jump");
  EXPECT_GE(alarms(judged(outage), at, at + 20), 1u);
  const auto flat = judged(stuck);
  EXPECT_GE(alarms(flat, at, at + 20), 1u);
  EXPECT_GT(flat[at + 19].parts[static_cast<std::size_t>(Oddity::flat)], 1);
  EXPECT_LT(flat[at - 1].parts[static_cast<std::size_t>(Oddity::flat)], 1);
}

TEST(StreamDetectorTest, an_alarm_is_told_once_and_not_with_every_value) {
  auto values = building_load(24 * 7 * 12);
  const std::size_t at = 24 * 7 * 9 + 10;
  for (auto i = at; i < at + 48; ++i) values[i] = 0;
  EXPECT_LE(alarms(judged(values), at, at + 48), 6u);
}

TEST(StreamDetectorTest, goes_on_after_a_restart_as_if_it_had_not_been) {
  const auto values = building_load(24 * 40);
  StreamDetector whole, before;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i == 500) before = *decode<StreamDetector>(encode(before));
    const auto at = kMonday + std::chrono::hours(i);
    const auto a = whole.judge(at, values[i]), b = before.judge(at, values[i]);
    ASSERT_EQ(a.score, b.score) << i;
    ASSERT_EQ(a.expected, b.expected) << i;
  }
}

TEST(StreamDetectorTest, nothing_that_a_meter_may_say_breaks_it) {
  for (const double odd :
       {0.0, -1.0, 1e15, -1e15, 1e30, -3e38, 1e300, std::nan(""), std::numeric_limits<double>::infinity(), 1e-30}) {
    StreamDetector detector;
    for (int i = 0; i < 500; ++i) {
      // Times that stand still and go back, too.
      const auto judgement =
          detector.judge(kMonday + std::chrono::hours(i % 7 == 0 ? i - 3 : i), i % 5 == 0 ? odd : i % 24);
      ASSERT_TRUE(std::isfinite(judgement.score)) << odd;
    }
    ASSERT_TRUE(decode<StreamDetector>(encode(detector))) << odd;
  }
}

TEST(StreamDetectorTest, a_reading_from_another_world_does_not_blind_it) {
  auto values = building_load(24 * 7 * 20);
  values[24 * 7 * 5] = 4294967295;
  const std::size_t at = 24 * 7 * 15 + 10;
  for (auto i = at; i < at + 24; ++i) values[i] = 0;
  const auto judgements = judged(values);
  EXPECT_GE(alarms(judgements, 24 * 7 * 5, 24 * 7 * 5 + 1), 1u);
  EXPECT_GE(alarms(judgements, at, at + 24), 1u);
}

TEST(StreamDetectorTest, is_small) { EXPECT_LE(sizeof(StreamDetector), 4096u); }

TEST(StreamDetectorTest, a_score_stands_for_a_rate_of_false_alarms_and_the_other_way_round) {
  EXPECT_EQ(StreamDetector::false_alarm_rate(0), 1);
  EXPECT_NEAR(StreamDetector::false_alarm_rate(StreamDetector::kAlarm), 1e-3, 2e-4);
  for (const double rate : {1e-2, 1e-3, 1e-5})
    EXPECT_NEAR(StreamDetector::false_alarm_rate(StreamDetector::score_at(rate)), rate, 1e-9);
  EXPECT_GT(StreamDetector::score_at(0.4), 0);  // What scores nothing is never an alarm.
}

}  // namespace
}  // namespace wattd::ml
