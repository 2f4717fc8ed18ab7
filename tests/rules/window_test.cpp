#include "rules/window.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

namespace wattd::rules {
namespace {

using namespace std::chrono_literals;

/// In whatever order samples come, aggregates are those of a plain list of what lies in the window.
RC_GTEST_PROP(Window, agrees_with_a_plain_list, ()) {
  const auto length = std::chrono::milliseconds{*rc::gen::inRange(1'000, 200'000)};
  const auto count = *rc::gen::inRange(1, 600);
  const bool is_regular = *rc::gen::arbitrary<bool>();
  Window window;
  window.keep(length);
  std::map<Timestamp, double> plain;
  auto now = Timestamp{} + 1000h;
  for (int i = 0; i < count; ++i) {
    const bool comes_late = *rc::gen::inRange(0, is_regular ? 50 : 5) == 0;
    auto at = now;
    if (comes_late) at -= std::chrono::milliseconds{*rc::gen::inRange(0, 250'000)};
    else
      now = at = now + (is_regular ? 1'000ms + std::chrono::milliseconds{*rc::gen::inRange(-4, 5)}
                                   : std::chrono::milliseconds{*rc::gen::inRange(1, 2'000)});
    const double value = *rc::gen::inRange(-1000, 1000);
    if (plain.empty() || at > plain.rbegin()->first - length) plain[at] = value;
    window.add(at, value);
    const auto newest = plain.rbegin()->first;
    const auto whole = *rc::gen::element(1, 2, 3);
    const auto over = length / whole;
    Aggregate expected;
    for (auto entry = plain.upper_bound(newest - over); entry != plain.end(); ++entry) {
      const auto& [stamp, number] = *entry;
      if (expected.count == 0) expected.min = expected.max = number, expected.first_at = stamp, expected.first = number;
      expected.count += 1, expected.sum += number;
      expected.min = std::min(expected.min, number), expected.max = std::max(expected.max, number);
      expected.last_at = stamp, expected.last = number;
    }
    const auto got = window.over(over, newest);
    RC_ASSERT(got.count == expected.count);
    RC_ASSERT(got.sum == expected.sum);
    RC_ASSERT(got.min == expected.min);
    RC_ASSERT(got.max == expected.max);
    RC_ASSERT(got.first_at == expected.first_at);
    RC_ASSERT(got.first == expected.first);
    RC_ASSERT(got.last_at == expected.last_at);
    RC_ASSERT(got.last == expected.last);
  }
}

TEST(Window, a_duplicate_replaces_and_is_said_to_be_one) {
  Window window;
  window.keep(10s);
  const auto at = Timestamp{} + 1h;
  EXPECT_TRUE(window.add(at, 1));
  EXPECT_FALSE(window.add(at, 3));
  EXPECT_EQ(window.over(10s, at).sum, 3);
  EXPECT_EQ(window.over(10s, at).count, 1u);
  window.add(at + 20s, 5);
  EXPECT_FALSE(window.add(at + 5s, 7)) << "too old to count";
}

}  // namespace
}  // namespace wattd::rules
