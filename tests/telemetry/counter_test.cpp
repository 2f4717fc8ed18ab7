#include "telemetry/counter.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <numeric>

namespace wattd {
namespace {

using namespace std::chrono_literals;

const Timestamp kNoon = from_unix_us(1'770'465'600'000'000);

/// Feeds one reading a minute and gives back all increments.
std::vector<Increment> feed(Counter& counter, const std::vector<double>& values, Timestamp from = kNoon) {
  std::vector<Increment> all;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto some = counter.take({from + i * 1min, values[i]});
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}
std::int64_t total(const std::vector<Increment>& increments) {
  return std::accumulate(increments.begin(), increments.end(), std::int64_t{0},
                         [](std::int64_t sum, const Increment& increment) { return sum + increment.milli; });
}
bool says(const std::vector<Increment>& increments, Quality flag) {
  return std::ranges::any_of(increments, [&](const Increment& increment) { return has(increment.quality, flag); });
}

TEST(Counter, counts_differences_in_whole_milliwatt_hours) {
  Counter counter({});
  EXPECT_EQ(total(feed(counter, {1000.1, 1000.4, 1000.4, 1001.1})), 1'000'000);
}

TEST(Counter, books_nothing_for_a_last_digit_that_trembles) {
  Counter counter({});
  EXPECT_EQ(total(feed(counter, {500.1, 500.2, 500.1, 500.2, 500.1, 500.3})), 200'000);
}

TEST(Counter, books_nothing_for_a_blip_to_zero) {
  Counter counter({});
  const auto increments = feed(counter, {500.5, 0, 500.7, 0, 0, 501.0});
  EXPECT_EQ(total(increments), 500'000);
  EXPECT_FALSE(says(increments, Quality::reset));
}

TEST(Counter, believes_a_reset_after_three_rising_readings) {
  Counter counter({});
  const auto increments = feed(counter, {20000.5, 3.1, 3.2, 3.4, 3.5});
  EXPECT_EQ(total(increments), 400'000) << "what a new meter shows at first is not energy";
  EXPECT_TRUE(says(increments, Quality::reset));
  EXPECT_FALSE(says({increments.back()}, Quality::reset));
}

TEST(Counter, counts_what_was_used_since_a_reset_where_the_limit_allows_it) {
  Counter counter({.most_an_hour = 60});
  EXPECT_EQ(total(feed(counter, {20000.5, 0.5, 0.7, 0.9})), 900'000);
}

TEST(Counter, holds_a_jump_that_the_fuse_would_not_have_let_through) {
  Counter counter({.most_an_hour = 30});
  EXPECT_EQ(total(feed(counter, {100.0, 9999.0, 100.5})), 500'000);
}

TEST(Counter, was_not_reset_where_it_comes_back_to_where_it_stood) {
  Counter counter({});
  EXPECT_EQ(total(feed(counter, {100, 0, 0, 0, 100.1, 100.2})), 200'000);
  Counter slow({});
  EXPECT_EQ(total(feed(slow, {100, 5, 5, 5.1, 5.1, 101, 102})), 2'000'000) << "what it counted meanwhile is part of it";
  Counter grows({});
  std::vector<double> values{100, 0, 0};
  for (int i = 0; i < 300; ++i) values.push_back(i * 0.5);
  EXPECT_EQ(total(feed(grows, values)), 149'500'000) << "past where it stood, step by step";
}

TEST(Counter, books_nothing_for_a_spike_though_no_limit_is_known) {
  Counter once({}), thrice({});
  std::vector<Increment> all;
  int at = 0;
  for (const double value : {100.0, 65535.0, 100.1, 100.2}) {
    const auto some = once.take({kNoon + 1s * at++, value});
    all.insert(all.end(), some.begin(), some.end());
  }
  EXPECT_EQ(total(all), 200'000);
  EXPECT_FALSE(says(all, Quality::reset));
  EXPECT_LE(total(feed(thrice, {100, 2e6, 2e6, 2e6, 100.1, 100.2, 100.3, 100.4})), 400'000);
}

TEST(Counter, a_first_zero_of_a_meter_that_is_starting_is_no_beginning) {
  Counter counter({});
  EXPECT_EQ(total(feed(counter, {0, 12345.6, 12345.7, 12345.8, 12345.9})), 300'000);
  Counter fresh({});
  EXPECT_EQ(total(feed(fresh, {0, 0.1, 0.2, 0.3})), 300'000) << "a new meter counts from there";
}

TEST(Counter, believes_a_jump_after_a_long_silence) {
  Counter counter({});
  (void)counter.take({kNoon, 100});
  EXPECT_EQ(total(counter.take({kNoon + 24h * 14, 5100})), 5'000'000'000);
}

TEST(Counter, goes_round_at_its_modulus_alone) {
  Counter known({.modulus = 1'000'000});
  const auto increments = feed(known, {999999.5, 0.5});
  EXPECT_EQ(total(increments), 1'000'000);
  EXPECT_TRUE(says(increments, Quality::rollover));
  Counter unknown({});
  EXPECT_EQ(total(feed(unknown, {999999.5, 0.5, 0.6, 0.7})), 200'000) << "a modulus is never guessed";
}

TEST(Counter, begins_anew_where_its_driver_says_that_the_meter_was_exchanged) {
  Counter counter({});
  (void)counter.take({kNoon, 100});
  const auto increments = counter.take({kNoon + 1min, 5000}, Quality::reset);
  EXPECT_EQ(total(increments), 0);
  EXPECT_EQ(total(counter.take({kNoon + 2min, 5001})), 1'000'000);
}

TEST(Counter, goes_on_from_its_state_as_if_it_had_never_stopped) {
  EXPECT_TRUE(rc::check([](std::vector<std::uint16_t> tenths, std::size_t cut) {
    std::vector<double> values;
    for (const auto tenth : tenths) values.push_back(tenth / 10.0);
    cut = values.empty() ? 0 : cut % values.size();
    Counter whole({});
    const auto expected = feed(whole, values);
    Counter first({});
    auto found = feed(first, {values.begin(), values.begin() + static_cast<std::ptrdiff_t>(cut)});
    Counter second({}, first.state());
    const auto rest =
        feed(second, {values.begin() + static_cast<std::ptrdiff_t>(cut), values.end()}, kNoon + cut * 1min);
    found.insert(found.end(), rest.begin(), rest.end());
    RC_ASSERT(found == expected);
    RC_ASSERT(second.state() == whole.state());
  }));
}

TEST(Increment, has_parts_that_add_up_to_the_whole) {
  EXPECT_TRUE(rc::check([](std::int32_t milli, std::uint16_t seconds, std::uint16_t cut) {
    const Increment increment{kNoon, kNoon + 1s * (seconds + 1), milli};
    const auto middle = kNoon + 1s * cut;
    RC_ASSERT(increment.within({kNoon - 1h, kNoon + 100h}) == milli);
    RC_ASSERT(increment.within({kNoon - 1h, middle}) + increment.within({middle, kNoon + 100h}) == milli);
  }));
}

}  // namespace
}  // namespace wattd
