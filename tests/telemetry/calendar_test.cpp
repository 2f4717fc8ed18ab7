#include "telemetry/calendar.h"

#include <gtest/gtest.h>

namespace wattd {
namespace {

using namespace std::chrono_literals;

Timestamp at(const char* text) { return *parse_iso8601(text); }

TEST(Calendar, knows_days_of_23_and_25_hours) {
  const Calendar berlin("Europe/Berlin");
  const auto spring = berlin.day_of(at("2026-03-29T12:00:00Z"));
  EXPECT_EQ(spring.from, at("2026-03-28T23:00:00Z"));
  EXPECT_EQ(spring.to - spring.from, 23h);
  const auto autumn = berlin.day_of(at("2026-10-25T12:00:00Z"));
  EXPECT_EQ(autumn.to - autumn.from, 25h);
  EXPECT_EQ(berlin.date_of(at("2026-10-25T22:59:59Z")), "2026-10-25");
}

TEST(Calendar, begins_the_hours_of_india_at_half_past) {
  const Calendar kolkata("Asia/Kolkata");
  EXPECT_EQ(kolkata.hour_of(at("2026-02-07T11:26:00Z")),
            (TimeRange{at("2026-02-07T10:30:00Z"), at("2026-02-07T11:30:00Z")}));
  EXPECT_EQ(kolkata.day_of(at("2026-02-07T18:30:00Z")).from, at("2026-02-07T18:30:00Z"));
}

TEST(Calendar, cuts_an_hour_where_a_clock_changes_by_half_of_one) {
  const Calendar lord_howe("Australia/Lord_Howe");  // its summer time is half an hour
  const auto change = at("2026-10-03T15:30:00Z");
  EXPECT_EQ(lord_howe.hour_of(change - 1us).to, change);
  EXPECT_EQ(lord_howe.hour_of(change).from, change);
}

TEST(Calendar, tiles_time_without_gap_or_overlap) {
  for (const auto* zone : {"UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"}) {
    const Calendar calendar(zone);
    auto now = at("2026-01-01T00:00:00Z");
    const auto end = now + 24h * 400;
    while (now < end) {
      const auto hour = calendar.hour_of(now);
      ASSERT_TRUE(hour.contains(now)) << zone;
      ASSERT_EQ(calendar.hour_of(hour.to - 1us), hour) << zone;
      ASSERT_TRUE(calendar.day_of(now).contains(hour.to - 1us)) << zone << ' ' << format_iso8601(now);
      now = hour.to;
    }
  }
}

TEST(Calendar, has_months_of_the_place) {
  const auto month = Calendar("Europe/Berlin").month_of(at("2026-03-15T00:00:00Z"));
  EXPECT_EQ(month, (TimeRange{at("2026-02-28T23:00:00Z"), at("2026-03-31T22:00:00Z")}));
}

TEST(Calendar, says_which_name_it_does_not_know) {
  try {
    Calendar("Europe/Berlln");
    FAIL();
  } catch (const std::invalid_argument& problem) {
    EXPECT_STREQ(
        problem.what(),
        "\"Europe/Berlln\" is not a time zone that this system knows; expected an IANA name such as Europe/Berlin");
  }
}

}  // namespace
}  // namespace wattd
