#include <gtest/gtest.h>

#include <cmath>

#include "sync/line_protocol.h"
#include "sync/shipper.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

TEST(LineProtocol, writes_the_seeds_measurement_and_tags_and_the_gateway) {
  const Reading reading{.device_id = "D1",
                        .at = from_unix_us(1'770'463'560'000'001),
                        .fields = {{"voltage", 230.5}, {"count", std::int64_t{3}}}};
  const storage::DeviceVersion device{"D1", "bulb", "Plant-A", "v1", "success"};
  EXPECT_EQ(to_lines(std::vector<Outgoing>{{&reading, &device}}, {.gateway = "gw"}),
            "device_telemetry,device_id=D1,device_type=bulb,enrichment_status=success,gateway=gw,location=Plant-A,"
            "schema_version=v1 "
            "voltage=230.5,count=3 1770463560000001\n");
}

TEST(LineProtocol, escapes_what_would_end_a_name) {
  const Reading reading{.at = from_unix_us(1),
                        .fields = {{"a b,c=d", 1.0}, {"text", std::string("say \"hi\"\\")}, {"on", true}}};
  const storage::DeviceVersion device{"D 1,x=\ny", "", "", "v1", ""};
  EXPECT_EQ(to_lines(std::vector<Outgoing>{{&reading, &device}}, {.non_numeric = true}),
            "device_telemetry,device_id=D\\ 1\\,x\\=\\ y,schema_version=v1 a\\ b\\,c\\=d=1,text=\"say "
            "\\\"hi\\\"\\\\\",on=true 1\n");
}

TEST(LineProtocol, leaves_out_what_has_no_number) {
  const Reading reading{.at = from_unix_us(1), .fields = {{"x", NAN}, {"s", std::string("t")}, {"b", true}}};
  const storage::DeviceVersion device{"D1", "", "", "", ""};
  EXPECT_EQ(to_lines(std::vector<Outgoing>{{&reading, &device}}, {}), "");
}

/// A log of single-reading segments, and a store that takes or refuses them.
struct FakeSource final : Source {
  Result<storage::Batch> batch_after(const storage::Position& position, std::size_t max_readings) override {
    storage::Batch batch{.end = position, .readings = {}};
    for (auto i = position.seq; i < count && batch.readings.size() < max_readings; ++i) {
      batch.readings.push_back({.device_id = "D1",
                                .at = from_unix_us(static_cast<std::int64_t>(i)),
                                .device_version = 1,
                                .fields = {{"p", 1.0}}});
      batch.end.seq = i + 1;
    }
    return batch;
  }
  Result<storage::DeviceVersion> device_version(const std::string& id, std::uint32_t) override {
    return storage::DeviceVersion{id, "t", "", "v1", ""};
  }
  std::uint64_t count = 0;
};

struct FakeSink final : Sink {
  Result<void> send(std::span<const Outgoing> batch, const std::stop_token&) override {
    if (down) return fail(ErrorKind::retry, "down");
    if (refuses_all) return fail(ErrorKind::permanent, "no such database");
    for (const auto& outgoing : batch) {
      if (to_unix_us(outgoing.reading->at) == poison) return fail(ErrorKind::permanent, "no such thing");
    }
    for (const auto& outgoing : batch) taken.push_back(to_unix_us(outgoing.reading->at));
    return {};
  }
  std::string target() const override { return "fake"; }
  bool down = false;
  bool refuses_all = false;
  std::int64_t poison = -1;
  std::vector<std::int64_t> taken;
};

struct FakeLedger final : Ledger {
  void save(const storage::Cursor& cursor) override { saved = cursor; }
  void set_aside(DeadLetter letter) override { letters.push_back(std::move(letter)); }
  storage::Cursor saved;
  std::vector<DeadLetter> letters;
};

struct ShipperTest : testing::Test {
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
  while (turn() <= clock.monotonic()) {
  }
  EXPECT_EQ(shipper.status().cursor.sent, 200u);
  EXPECT_GE(sink->taken.size() + ledger.letters.size(), 198u);
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

}  // namespace
}  // namespace wattd::sync
