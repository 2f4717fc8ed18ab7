#include "telemetry/time.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace wattd {
namespace {

using namespace std::chrono_literals;

TEST(Iso8601, reads_the_seeds_own_example) {
  const auto at = parse_iso8601("2026-02-07T11:26:00Z");
  ASSERT_TRUE(at);
  EXPECT_EQ(to_unix_us(*at), 1'770'463'560'000'000);
}

TEST(Iso8601, reads_offsets_fractions_and_a_space) {
  EXPECT_EQ(parse_iso8601("2026-02-07T16:56:00.25+05:30"), parse_iso8601("2026-02-07 11:26:00.250000Z"));
  EXPECT_EQ(to_unix_us(*parse_iso8601("1970-01-01T00:00:00.123456789Z")), 123'456);
  EXPECT_EQ(parse_iso8601("2026-02-07T11:26Z"), parse_iso8601("2026-02-07T11:26:00Z"));
}

TEST(Iso8601, refuses_what_is_no_instant) {
  for (const auto* text : {"", "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-02-07T24:00:00Z", "2026-02-07",
                           "2026-02-07T11:26:00Zx", "2026-02-07T11:26:00.Z", "2026-02-07T11:26:00+25:00", "now"}) {
    EXPECT_FALSE(parse_iso8601(text)) << text;
  }
}

TEST(Iso8601, every_microsecond_reads_back_as_itself) {
  EXPECT_TRUE(rc::check([] {
    const auto at = from_unix_us(*rc::gen::inRange<std::int64_t>(-2'000'000'000'000'000, 4'000'000'000'000'000));
    RC_ASSERT(parse_iso8601(format_iso8601(at)) == at);
  }));
}

TEST(EpochNumber, tells_the_unit_by_its_size) {
  const auto at = from_unix_us(1'770'463'560'000'000);
  EXPECT_EQ(from_epoch_number(std::int64_t{1'770'463'560}), at);
  EXPECT_EQ(from_epoch_number(std::int64_t{1'770'463'560'000}), at);
  EXPECT_EQ(from_epoch_number(std::int64_t{1'770'463'560'000'000}), at);
  EXPECT_EQ(from_epoch_number(std::int64_t{1'770'463'560'000'000'000}), at);
  EXPECT_EQ(from_epoch_number(1'770'463'560.25), at + 250ms);
  EXPECT_FALSE(from_epoch_number(-1.0));
}

}  // namespace
}  // namespace wattd
