#include "sync/shipper.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "storage/catalogue.h"
#include "tests/sync/fakes.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

struct ShipperTest : testing::Test {
  ShipperTest() { sink->clock = &clock, source->clock = &clock; }
  FakeClock clock;
  FakeLedger ledger;
  FakeSource* source = new FakeSource;
  FakeSink* sink = new FakeSink;
  Shipper shipper{{.id = "vm", .batch = 4, .settle = 10s},
                  {.sink_id = "vm", .settled = 2, .sent = 9},
                  std::unique_ptr<Source>(source),
                  std::unique_ptr<Sink>(sink),
                  ledger,
                  clock};

  Instant turn() { return shipper.step(clock.monotonic()); }
};

TEST_F(ShipperTest, begins_again_at_what_was_settled_and_sends_in_order) {
  source->count = 8;
  while (turn() <= clock.monotonic()) {
  }
  EXPECT_EQ(sink->taken, (std::vector<std::int64_t>{2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(shipper.status().cursor.sent, 8u);
  EXPECT_EQ(shipper.status().sent_samples, 6u);
}

TEST_F(ShipperTest, settles_only_when_the_store_had_time_to_write_down_what_it_took) {
  source->count = 4;
  turn();
  clock.advance(9s);
  turn();
  EXPECT_EQ(ledger.saved.settled, 0u);
  clock.advance(1s);
  turn();
  EXPECT_EQ(ledger.saved.settled, 4u);
}

TEST_F(ShipperTest, keeps_the_cursor_when_upstream_is_down_and_waits_longer_each_time) {
  source->count = 4;
  sink->down = true;
  auto last = 0ns;
  for (int i = 0; i < 6; ++i) {
    const auto next = turn();
    EXPECT_GT(next, clock.monotonic());
    EXPECT_GE(next - clock.monotonic(), last / 2);
    last = next - clock.monotonic();
    clock.advance(std::chrono::duration_cast<std::chrono::microseconds>(last) + 1us);
  }
  EXPECT_GT(last, 4s);
  EXPECT_EQ(shipper.status().cursor.sent, 2u);
  EXPECT_EQ(shipper.status().last_error, "down");
  sink->down = false;
  turn();
  EXPECT_EQ(sink->taken, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(shipper.status().last_error, "");
}

TEST_F(ShipperTest, sends_again_what_was_not_settled_when_the_store_went_away) {
  source->count = 4;
  turn();
  sink->down = true;
  source->count = 5;
  turn();
  sink->down = false;
  turn();
  EXPECT_EQ(sink->taken, (std::vector<std::int64_t>{2, 3, 2, 3, 4}));
}

TEST_F(ShipperTest, sets_only_the_refused_reading_aside) {
  source->count = 10;
  sink->poison = 5;
  while (turn() <= clock.monotonic()) {
  }
  EXPECT_EQ(sink->taken, (std::vector<std::int64_t>{2, 3, 4, 6, 7, 8, 9}));
  ASSERT_EQ(ledger.letters.size(), 1u);
  EXPECT_EQ(ledger.letters[0].reason, Rejection::upstream_rejected);
  EXPECT_EQ(ledger.letters[0].detail, "no such thing");
  EXPECT_EQ(ledger.letters[0].message.payload, R"({"device_id":"D1","timestamp":"1970-01-01T00:00:00.000005Z","p":1})");
}

TEST_F(ShipperTest, keeps_everything_when_the_store_refuses_everything) {
  source->count = 200;
  sink->refuses_all = true;
  for (int i = 0; i < 100; ++i) {
    turn();
    clock.advance(61s);
  }
  EXPECT_LE(ledger.letters.size(), 20u);
  EXPECT_NE(shipper.status().last_error.find("refuses everything"), std::string::npos);
  sink->refuses_all = false;
  for (int i = 0; i < 1000 && ledger.saved.settled < 200; ++i) {
    turn();
    clock.advance(1s);
  }
  EXPECT_EQ(ledger.saved.settled, 200u);
  EXPECT_GE(sink->taken.size() + ledger.letters.size(), 198u);
}

TEST_F(ShipperTest, waits_as_long_as_the_store_asks_for) {
  source->count = 4;
  sink->down = true;
  sink->wait = 90s;
  EXPECT_GE(turn() - clock.monotonic(), 90s);
}

TEST_F(ShipperTest, sends_less_at_once_where_the_store_says_it_is_too_much) {
  source->count = 100;
  sink->most = 2;
  while (turn() <= clock.monotonic()) {
  }
  EXPECT_EQ(sink->taken.size(), 98u);
  EXPECT_TRUE(ledger.letters.empty());
  EXPECT_EQ(shipper.status().refused_readings, 0u);
  EXPECT_LE(sink->requests, 75) << "it is remembered";
}

TEST_F(ShipperTest, a_link_that_fails_before_anything_settles_makes_progress) {
  source->count = 400;
  // Every fifth request is lost, which is more often than batches settle.
  for (int i = 0; i < 3000 && shipper.status().cursor.settled < 400; ++i) {
    if (sink->lose < 0) sink->lose = 4;
    const auto next = turn();
    clock.advance(std::max(std::chrono::duration_cast<std::chrono::microseconds>(next - clock.monotonic()), 0us) + 1ms);
  }
  EXPECT_EQ(shipper.status().cursor.settled, 400u);
}

TEST_F(ShipperTest, sends_again_what_is_not_settled_when_the_connection_was_opened_anew) {
  source->count = 4;
  turn();
  EXPECT_EQ(sink->taken, (std::vector<std::int64_t>{2, 3}));
  clock.advance(11s);
  source->count = 6;
  turn();
  source->count = 7;
  sink->broken = 1;
  while (turn() <= clock.monotonic()) {
  }
  EXPECT_EQ(sink->taken, (std::vector<std::int64_t>{2, 3, 4, 5, 6, 4, 5, 6})) << "2 and 3 had settled";
  EXPECT_EQ(shipper.status().failures, 0u);
  sink->broken = 2;
  clock.advance(11s);
  source->count = 8;
  while (turn() <= clock.monotonic()) {
  }
  EXPECT_EQ(sink->taken, (std::vector<std::int64_t>{2, 3, 4, 5, 6, 4, 5, 6, 7, 4, 5, 6, 7}))
      << "nobody had seen the store since it answered for 4, 5 and 6";
}

TEST_F(ShipperTest, nothing_settles_before_the_store_was_seen_to_be_the_same) {
  source->count = 4;
  turn();
  turn();
  sink->dies_unseen = true;
  clock.advance(11s);
  while (turn() <= clock.monotonic()) {
  }
  EXPECT_EQ(sink->taken, (std::vector<std::int64_t>{2, 3, 2, 3}));
  EXPECT_EQ(ledger.saved.settled, 0u);
  sink->down = true;
  clock.advance(11s);
  turn();
  EXPECT_EQ(ledger.saved.settled, 0u) << "nobody is there to ask";
  sink->down = false;
  clock.advance(2s);
  turn();
  clock.advance(11s);
  turn();
  EXPECT_EQ(ledger.saved.settled, 4u);
  EXPECT_EQ(sink->taken, (std::vector<std::int64_t>{2, 3, 2, 3, 2, 3}));
}

TEST_F(ShipperTest, makes_progress_though_every_connection_is_a_new_one) {
  sink->closes = true;
  source->count = 100;
  for (int i = 0; i < 3000 && shipper.status().cursor.settled < 100; ++i) {
    const auto next = turn();
    clock.advance(std::max(std::chrono::duration_cast<std::chrono::microseconds>(next - clock.monotonic()), 0us) + 1ms);
  }
  EXPECT_EQ(shipper.status().cursor.settled, 100u);
}

TEST_F(ShipperTest, is_paused_and_tells_since_when_something_waits) {
  source->count = 4;
  shipper.pause(true);
  turn();
  EXPECT_TRUE(sink->taken.empty());
  EXPECT_TRUE(shipper.status().paused);
  clock.advance(30s);
  turn();
  EXPECT_NEAR(lag(shipper.status(), clock.now()), 30, 1);
  shipper.pause(false);
  while (turn() <= clock.monotonic()) {
  }
  EXPECT_EQ(sink->taken, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(lag(shipper.status(), clock.now()), 0);
}

TEST_F(ShipperTest, what_was_made_ready_ahead_is_what_is_sent_next) {
  source->count = 100, source->late = 100;
  for (int i = 0; i < 6; ++i) turn();
  const auto read = source->reads;
  turn();
  EXPECT_EQ(source->reads, read + 2) << "whether there are live readings, and the batch behind the one that was ready";
}

TEST_F(ShipperTest, live_readings_go_before_what_is_late) {
  source->count = 100, source->late = 100;
  turn();
  EXPECT_TRUE(sink->taken.empty()) << "all of it is late: it becomes a lane of its own";
  EXPECT_EQ(ledger.saved.settled, 2u);
  EXPECT_TRUE(ledger.saved.done.empty());
  turn();
  EXPECT_EQ(sink->taken, (std::vector<std::int64_t>{2, 3, 4, 5}));
  source->count = 101;
  turn();
  EXPECT_EQ(sink->taken.back(), 100) << "live";
  clock.advance(10s);
  turn();  // the store answers again
  turn();
  EXPECT_EQ(ledger.saved, (storage::Cursor{"vm", 6, 6, {{100, 101}}}));
  while (turn() <= clock.monotonic()) {
  }
  clock.advance(11s);
  turn();
  EXPECT_EQ(ledger.saved, (storage::Cursor{"vm", 101, 101, {}}));
  auto all = sink->taken;
  std::ranges::sort(all);
  EXPECT_EQ(all.size(), 99u) << "each once";
  EXPECT_EQ(all.front(), 2);
  EXPECT_EQ(all.back(), 100);
}

TEST_F(ShipperTest, an_outage_of_hours_is_one_lane_and_live_readings_come_first_after_it) {
  sink->down = true;
  for (int minute = 0; minute < 180; ++minute) {
    source->count += 60, source->late = source->count;
    turn();
    clock.advance(1min);
  }
  EXPECT_LE(ledger.saves, 2);
  sink->down = false;
  source->count += 2;
  std::set<std::int64_t> sent;
  for (int i = 0; i < 20'000 && ledger.saved.settled < source->count; ++i) {
    const auto next = turn();
    clock.advance(std::max(std::chrono::ceil<std::chrono::microseconds>(next - clock.monotonic()), 0us));
  }
  EXPECT_GE(sink->taken.front(), 180 * 60 - 60) << "what is of now";
  sent.insert(sink->taken.begin(), sink->taken.end());
  EXPECT_EQ(sent.size(), source->count - 2) << "from where the cursor stood, nothing left out";
  EXPECT_EQ(ledger.saved, (storage::Cursor{"vm", source->count, source->count, {}}));
}

TEST_F(ShipperTest, what_is_late_begins_where_it_was_after_a_restart) {
  auto* again = new FakeSource;
  auto* store = new FakeSink;
  again->clock = store->clock = &clock;
  again->count = 60, again->late = 50;
  Shipper next({.id = "vm", .batch = 4, .settle = 10s},
               {.sink_id = "vm", .settled = 5, .sent = 5, .done = {{20, 25}, {40, 58}}}, std::unique_ptr<Source>(again),
               std::unique_ptr<Sink>(store), ledger, clock);
  for (int i = 0; i < 200; ++i) {
    const auto at = next.step(clock.monotonic());
    clock.advance(std::max(std::chrono::ceil<std::chrono::microseconds>(at - clock.monotonic()), 0us));
  }
  EXPECT_EQ(ledger.saved, (storage::Cursor{"vm", 60, 60, {}}));
  const std::set<std::int64_t> sent(store->taken.begin(), store->taken.end());
  for (std::int64_t i = 0; i < 60; ++i) {
    const bool was_done = i < 5 || (i >= 20 && i < 25) || (i >= 40 && i < 58);
    EXPECT_TRUE(was_done || sent.contains(i)) << i;
  }
  EXPECT_EQ(store->taken.front(), 58) << "live first";
}

TEST_F(ShipperTest, the_newest_of_what_is_late_goes_first_where_that_is_wanted) {
  auto* again = new FakeSource;
  auto* store = new FakeSink;
  again->clock = store->clock = &clock;
  again->count = again->late = 1000;
  Shipper next({.id = "vm", .batch = 100, .settle = 0s, .newest_first = true}, {}, std::unique_ptr<Source>(again),
               std::unique_ptr<Sink>(store), ledger, clock);
  for (int i = 0; i < 30; ++i) next.step(clock.monotonic());
  EXPECT_EQ(store->taken.front(), 700);
  const std::set<std::int64_t> sent(store->taken.begin(), store->taken.end());
  EXPECT_EQ(sent.size(), 1000u);
  EXPECT_EQ(store->taken.size(), 1000u);
  EXPECT_EQ(ledger.saved, (storage::Cursor{"vm", 1000, 1000, {}}));
}

TEST_F(ShipperTest, what_is_late_goes_no_faster_than_it_may) {
  auto* again = new FakeSource;
  auto* store = new FakeSink;
  again->clock = store->clock = &clock;
  again->count = again->late = 1000;
  Shipper next({.id = "vm", .batch = 100, .settle = 0s, .backfill_rate = 50}, {}, std::unique_ptr<Source>(again),
               std::unique_ptr<Sink>(store), ledger, clock);
  const auto began = clock.monotonic();
  while (store->taken.size() < 1000) {
    const auto at = next.step(clock.monotonic());
    clock.advance(std::max(std::chrono::ceil<std::chrono::microseconds>(at - clock.monotonic()), 0us));
  }
  EXPECT_NEAR(std::chrono::duration<double>(clock.monotonic() - began).count(), 18, 1);
}

TEST(Cursor, ranges_are_written_and_read) {
  const std::vector<storage::SegmentRange> ranges{{17, 40}, {52, 60}};
  EXPECT_EQ(storage::ranges_text(ranges), "17-40,52-60");
  EXPECT_EQ(storage::ranges_from("17-40,52-60"), ranges);
  EXPECT_TRUE(storage::ranges_from("").empty());
  for (const auto* bad : {"1", "5-3", "1-2,", "1-9,5-12", "x", "1-2;3-4", "-", "1-"})
    EXPECT_TRUE(storage::ranges_from(bad).empty()) << bad;
}

TEST(Shipper, requests_shrink_while_answers_are_slow_and_grow_again) {
  FakeClock clock;
  FakeLedger ledger;
  auto* source = new FakeSource;
  auto* sink = new FakeSink;
  sink->clock = &clock, source->clock = &clock;
  source->count = 1'000'000;
  Shipper shipper({.id = "x", .batch = 1000}, {}, std::unique_ptr<Source>(source), std::unique_ptr<Sink>(sink), ledger,
                  clock);
  sink->takes = 3s;
  for (int i = 0; i < 20; ++i) shipper.step(clock.monotonic());
  sink->largest = 0;
  shipper.step(clock.monotonic());
  EXPECT_EQ(sink->largest, 10u);
  sink->takes = 100ms;
  for (int i = 0; i < 20; ++i) shipper.step(clock.monotonic());
  EXPECT_EQ(sink->largest, 1000u);
}

TEST_F(ShipperTest, sets_a_refused_reading_aside_once_however_often_it_is_sent) {
  source->count = 4;
  sink->poison = 3;
  turn();
  sink->down = true;
  source->count = 5;
  turn();
  sink->down = false;
  turn();
  EXPECT_EQ(ledger.letters.size(), 1u);
  EXPECT_EQ(shipper.status().refused_readings, 1u);
}

TEST(ShipperOfRecords, a_record_that_is_refused_becomes_no_message_that_could_be_replayed_as_a_reading) {
  FakeClock clock;
  FakeLedger ledger;
  auto* source = new FakeSource;
  auto* sink = new FakeSink;
  source->clock = sink->clock = &clock;
  source->count = 10;
  sink->poison = 5;
  Shipper shipper(for_stream({.id = "up", .batch = 4, .settle = 0s}, Stream::hours), {},
                  std::unique_ptr<Source>(source), std::unique_ptr<Sink>(sink), ledger, clock);
  while (shipper.step(clock.monotonic()) <= clock.monotonic()) {
  }
  EXPECT_EQ(sink->taken.size(), 9u);
  EXPECT_EQ(shipper.status().refused_readings, 1u);
  EXPECT_TRUE(ledger.letters.empty());
}

}  // namespace
}  // namespace wattd::sync
