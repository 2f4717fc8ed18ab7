#include "sync/job.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/sync/fakes.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;
using Kind = JobRequest::Kind;

constexpr auto kMidnight = Timestamp{} + std::chrono::days{20'000};

struct JobTest : testing::Test {
  JobTest() {
    sink->clock = &clock, source->clock = &clock;
    for (const auto* id : {"D1", "D2"}) {
      for (auto at = kMidnight; at < kMidnight + 30h; at += 10min)
        source->stored[id].push_back(
            {.device_id = id, .at = at, .fields = {{"p", 1.5}, {"q", NAN}, {"s", std::string("x")}}});
    }
  }
  JobStatus run(JobRequest request) {
    Job job(request, {.id = "vm", .batch = 50}, std::unique_ptr<Source>(source), std::unique_ptr<Sink>(sink), ledger,
            clock);
    job.run({});
    auto status = job.status();
    held = sink->held;
    return status;
  }
  FakeClock clock;
  FakeLedger ledger;
  FakeSource* source = new FakeSource;
  FakeSink* sink = new FakeSink;
  std::map<std::string, std::set<std::pair<Timestamp, std::string>>> held;
};

TEST_F(JobTest, sends_a_range_again) {
  const auto done = run({.kind = Kind::backfill, .range = {kMidnight + 1h, kMidnight + 26h}});
  EXPECT_TRUE(done.ended);
  EXPECT_FALSE(done.failed) << done.result;
  EXPECT_EQ(done.sent_readings, 2u * 25 * 6);
  EXPECT_EQ(held["D1"].begin()->first, kMidnight + 1h);
  EXPECT_EQ(held["D2"].rbegin()->first, kMidnight + 25h + 50min);
  EXPECT_EQ(done.done_until, kMidnight + 26h);
}

TEST_F(JobTest, sends_what_upstream_lacks_and_nothing_else) {
  for (auto at = kMidnight; at < kMidnight + 30h; at += 10min) {
    if (at != kMidnight + 3h) sink->held["D1"].emplace(at, "p");
    if (at < kMidnight + 28h) sink->held["D2"].emplace(at, "p");
  }
  sink->held["gone"].emplace(kMidnight, "p");
  const auto done = run({.kind = Kind::verify, .range = {kMidnight, kMidnight + 30h}});
  EXPECT_FALSE(done.failed) << done.result;
  EXPECT_EQ(done.here, 360u) << "neither texts nor what is no number";
  EXPECT_EQ(done.there, 180u - 1 + 168 + 1);
  EXPECT_EQ(done.different, 4u) << "an hour of D1, two of D2, and what is not known here";
  ASSERT_EQ(done.differences.size(), 4u);
  EXPECT_EQ(done.differences[1].hour, kMidnight + 3h);
  EXPECT_EQ(done.differences[1].here, 6u);
  EXPECT_EQ(done.differences[1].there, 5u);
  EXPECT_EQ(done.sent_readings, 18u) << "the hours that lack something";
  EXPECT_TRUE(held["D1"].contains({kMidnight + 3h, "p"}));
  EXPECT_TRUE(held["D2"].contains({kMidnight + 29h + 50min, "p"}));
}

TEST_F(JobTest, looks_and_touches_nothing_when_asked_to) {
  const auto done = run({.kind = Kind::verify, .range = {kMidnight, kMidnight + 2h}, .repair = false});
  EXPECT_EQ(done.different, 4u);
  EXPECT_TRUE(held.empty());
}

TEST_F(JobTest, goes_on_when_upstream_is_back) {
  sink->lose = 2;
  const auto done = run({.kind = Kind::verify, .range = {kMidnight, kMidnight + 3h}});
  EXPECT_FALSE(done.failed) << done.result;
  EXPECT_EQ(done.different, 6u);
}

TEST_F(JobTest, says_that_a_store_cannot_be_asked) {
  sink->cannot_count = true;
  const auto done = run({.kind = Kind::verify, .range = {kMidnight, kMidnight + 3h}});
  EXPECT_TRUE(done.failed);
  EXPECT_EQ(done.result, "cannot be asked");
}

TEST_F(JobTest, sets_refused_readings_aside) {
  sink->poison = to_unix_us(kMidnight + 10min);
  const auto done = run({.kind = Kind::backfill, .range = {kMidnight, kMidnight + 1h}});
  EXPECT_FALSE(done.failed) << done.result;
  EXPECT_EQ(ledger.letters.size(), 2u);
  EXPECT_EQ(done.sent_readings, 10u);
}

}  // namespace
}  // namespace wattd::sync
