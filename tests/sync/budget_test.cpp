// A sink on a metered link: readings wait when the day's bytes are spent, and hours stand in for them.
#include "sync/budget.h"

#include <gtest/gtest.h>

#include "sync/shipper.h"
#include "tests/sync/fakes.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

struct BudgetTest : testing::Test {
  struct One {
    FakeSource* source = new FakeSource;
    FakeSink* sink = new FakeSink;
    std::unique_ptr<Shipper> shipper;
  };
  One make(const SinkConfig& of, storage::Cursor cursor = {}) {
    One one;
    one.source->clock = one.sink->clock = &clock;
    one.sink->costs = 300;
    one.shipper = std::make_unique<Shipper>(of, cursor, std::unique_ptr<Source>(one.source),
                                            std::unique_ptr<Sink>(one.sink), ledger, clock, budget);
    return one;
  }
  /// What it does until it waits.
  void work(One& one) {
    while (one.shipper->step(clock.monotonic()) <= clock.monotonic()) {
    }
  }
  FakeClock clock{from_unix_us(1'770'463'560'000'000)};  // 2026-02-07, 11:26
  FakeLedger ledger;
  std::shared_ptr<Budget> budget = std::make_shared<Budget>(1000);
  const SinkConfig config{.id = "up", .batch = 1, .settle = 0s, .budget = 1000};
};

TEST_F(BudgetTest, readings_wait_for_the_next_day_and_nothing_is_lost) {
  auto readings = make(config);
  readings.source->count = 10;
  work(readings);
  EXPECT_EQ(readings.sink->taken.size(), 3u);  // a tenth is kept
  const auto status = readings.shipper->status();
  EXPECT_TRUE(status.waits_for_budget);
  EXPECT_EQ(status.spent.bytes, 900);
  EXPECT_EQ(status.spent.date, "2026-02-07");
  clock.advance(13h);
  work(readings);
  EXPECT_EQ(readings.sink->taken.size(), 6u);
  EXPECT_EQ(readings.shipper->status().spent.date, "2026-02-08");
}

TEST_F(BudgetTest, a_restart_on_the_same_day_gives_no_new_budget) {
  auto readings = make(config, {.sink_id = "up", .spent_on = "2026-02-07", .spent_bytes = 950});
  readings.source->count = 10;
  work(readings);
  EXPECT_TRUE(readings.sink->taken.empty());
  // Nor does a second stream that remembers less of it.
  auto alerts = make(for_stream(config, Stream::alerts), {.spent_on = "2026-02-07", .spent_bytes = 1});
  EXPECT_EQ(budget->spent().bytes, 950);
  alerts.source->count = 10;
  work(alerts);
  EXPECT_EQ(alerts.sink->taken.size(), 1u);  // what was kept back is for what says more
  EXPECT_EQ(budget->spent().bytes, 1250);
  EXPECT_EQ(ledger.saved.spent_bytes, 1250);
}

TEST_F(BudgetTest, what_failing_requests_cost_is_remembered) {
  auto readings = make(config);
  readings.source->count = 10;
  readings.sink->down = true;
  for (int i = 0; i < 3; ++i) {
    readings.shipper->step(clock.monotonic());
    clock.advance(11s);
  }
  EXPECT_GE(ledger.saved.spent_bytes, 600);
  EXPECT_EQ(ledger.saved.settled, 0u);
}

TEST_F(BudgetTest, hours_stand_in_from_where_readings_have_settled) {
  auto over = config;
  over.sends_hours_over_budget = true;
  const auto configs = configs_of(over);
  ASSERT_EQ(configs.size(), 2u);
  auto readings = make(configs[0]);
  auto hours = make(configs[1]);
  readings.source->count = hours.source->count = 10;
  work(hours);
  EXPECT_TRUE(hours.sink->taken.empty()) << "while readings go, they say it all";
  work(readings);
  EXPECT_EQ(readings.sink->taken.size(), 3u);
  work(readings);
  work(hours);
  EXPECT_EQ(hours.sink->taken, std::vector<std::int64_t>{3});
  work(hours);
  EXPECT_EQ(hours.sink->taken.size(), 1u) << "the whole budget is spent";
  clock.advance(13h);
  work(hours);
  EXPECT_EQ(hours.sink->taken.size(), 1u) << "readings go again";
}

}  // namespace
}  // namespace wattd::sync
