#include "sync/filter.h"

#include "sync/sink_config.h"

#include <gtest/gtest.h>

#include "sync/shipper.h"
#include "tests/storage/readings_of.h"
#include "tests/sync/fakes.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

std::vector<Reading> through(Filter& filter, const std::vector<Reading>& readings) {
  storage::Batch batch{.parts = rows_of(readings)};
  filter.apply(batch);
  return storage::readings_of(batch);
}

Reading reading(const std::string& device, std::chrono::seconds at, std::vector<Field> fields = {{"power", 1.0}}) {
  return {.device_id = device, .at = Timestamp{} + at, .received = Timestamp{} + at, .fields = std::move(fields)};
}

TEST(Filter, chooses_devices_and_fields_by_patterns) {
  Filter filter({.devices = {"hall1-*", "main"},
                 .fields = {"power_*", "energy*"},
                 .not_devices = {"*-test"},
                 .not_fields = {"power_factor*"}});
  const std::vector<Field> fields{{"power_l1", 1.0}, {"power_factor_l1", .9}, {"energy", 5.0}, {"voltage", 230.0}};
  const auto kept = through(filter, {reading("hall1-a", 1s, fields), reading("hall1-test", 1s, fields),
                                     reading("main", 2s, {{"voltage", 1.0}}), reading("other", 3s, fields),
                                     reading("main", 4s, {{"energy", 6.0}})});
  ASSERT_EQ(kept.size(), 2u) << "what has none of the fields does not go at all";
  EXPECT_EQ(kept[0].device_id, "hall1-a");
  ASSERT_EQ(kept[0].fields.size(), 2u);
  EXPECT_EQ(kept[0].fields[0].name, "power_l1");
  EXPECT_EQ(kept[0].fields[1].name, "energy");
  EXPECT_EQ(kept[1].at, Timestamp{} + 4s);
}

TEST(Filter, keeps_back_values_and_readings_of_flags) {
  Filter filter({.without = Quality::stale | Quality::invalid});
  auto bad = reading("D1", 2s);
  bad.quality = Quality::stale;
  const auto kept = through(filter, {reading("D1", 1s, {{"a", 1.0, Quality::invalid}, {"b", 2.0, Quality::estimated}}),
                                     bad, reading("D1", 3s)});
  ASSERT_EQ(kept.size(), 2u);
  ASSERT_EQ(kept[0].fields.size(), 1u);
  EXPECT_EQ(kept[0].fields[0].name, "b");
}

TEST(Filter, lets_one_reading_a_device_and_stretch_through_whatever_batches_they_come_in) {
  Filter filter({.every = 1min});
  EXPECT_EQ(through(filter, {reading("D1", 0s), reading("D1", 30s), reading("D2", 40s), reading("D1", 60s)}).size(),
            3u);
  EXPECT_EQ(through(filter, {reading("D1", 90s), reading("D2", 70s), reading("D1", 20s)}).size(), 1u)
      << "D2 alone has a new one";
  filter.forget();
  EXPECT_EQ(through(filter, {reading("D1", 90s)}).size(), 1u) << "it may never have arrived";
}

TEST(Filter, of_every_stretch_a_reading_arrives_though_requests_fail) {
  FakeClock clock;
  FakeLedger ledger;
  auto* source = new FakeSource;
  auto* sink = new FakeSink;
  source->clock = sink->clock = &clock;
  source->count = 1000;
  // Stamps are microseconds there: a stretch is ten readings.
  Shipper shipper({.id = "up", .batch = 7, .settle = 0s, .filter = {.every = 10us}}, {.sink_id = "up"},
                  std::unique_ptr<Source>(source), std::unique_ptr<Sink>(sink), ledger, clock);
  for (int i = 0; i < 2000 && ledger.saved.settled < 1000; ++i) {
    if (i % 7 == 3) sink->lose = 1;
    const auto next = shipper.step(clock.monotonic());
    clock.advance(std::max(std::chrono::ceil<std::chrono::microseconds>(next - clock.monotonic()), 0us));
  }
  std::set<std::int64_t> stretches;
  for (const auto at : sink->taken) stretches.insert(at / 10);
  EXPECT_EQ(stretches.size(), 100u);
  EXPECT_LT(sink->taken.size(), 400u);
}

TEST(Filter, readings_that_stay_here_say_nothing_of_the_store) {
  FakeClock clock;
  FakeLedger ledger;
  auto* source = new FakeSource;
  auto* sink = new FakeSink;
  source->clock = sink->clock = &clock;
  source->count = 1;
  Shipper shipper({.id = "up", .settle = 10s, .filter = {.every = 10us}}, {.sink_id = "up"},
                  std::unique_ptr<Source>(source), std::unique_ptr<Sink>(sink), ledger, clock);
  const auto turn_until_idle = [&] {
    while (shipper.step(clock.monotonic()) <= clock.monotonic()) {
    }
  };
  turn_until_idle();
  const auto first = shipper.status().last_success;
  sink->dies_unseen = true;
  clock.advance(11s);
  source->count = 5;  // of the same stretch
  turn_until_idle();
  EXPECT_EQ(sink->taken, (std::vector<std::int64_t>{0, 0})) << "asked before it settled, it was another one";
  EXPECT_NE(shipper.status().last_success, first);
}

TEST(Filter, what_a_sink_never_gets_settles_without_asking_it) {
  FakeClock clock;
  FakeLedger ledger;
  auto* source = new FakeSource;
  auto* sink = new FakeSink;
  source->clock = sink->clock = &clock;
  Shipper shipper({.id = "up", .filter = {.devices = {"other"}}}, {.sink_id = "up"}, std::unique_ptr<Source>(source),
                  std::unique_ptr<Sink>(sink), ledger, clock);
  for (int second = 0; second < 60; ++second) {
    ++source->count;
    while (shipper.step(clock.monotonic()) <= clock.monotonic()) {
    }
    clock.advance(1s);
  }
  EXPECT_EQ(sink->confirmed, 0);
  EXPECT_EQ(sink->requests, 0);
  EXPECT_GE(ledger.saved.settled, 50u) << "retention may count on it";
  EXPECT_LE(ledger.saves, 7);
  EXPECT_EQ(shipper.status().cursor.settled, 60u);
}

TEST(Delivery, an_empty_batch_after_one_that_was_refused_is_nothing) {
  FakeClock clock;
  FakeLedger ledger;
  FakeSource source;
  auto* sink = new FakeSink;
  source.clock = sink->clock = &clock;
  source.count = 100;
  sink->refuses_all = true;
  Delivery delivery({.id = "up"}, std::unique_ptr<Sink>(sink), ledger, clock);
  const auto parcel = delivery.pack(*source.batch_after({}, 25, 100), source);
  EXPECT_FALSE(delivery.send(*parcel, {}));
  EXPECT_TRUE(delivery.send({}, {}));
  EXPECT_TRUE(ledger.letters.empty());
}

TEST(Schedule, sends_within_its_hours_alone) {
  FakeClock clock;
  FakeLedger ledger;
  auto* source = new FakeSource;
  auto* sink = new FakeSink;
  source->clock = sink->clock = &clock;
  source->count = 3;
  const auto now = std::chrono::floor<std::chrono::minutes>(clock.now());
  const auto minute = static_cast<int>((now - std::chrono::floor<std::chrono::days>(now)) / 1min);
  Shipper shipper({.id = "up", .hours = Hours{.from = (minute + 60) % 1440, .to = (minute + 120) % 1440}},
                  {.sink_id = "up"}, std::unique_ptr<Source>(source), std::unique_ptr<Sink>(sink), ledger, clock);
  shipper.step(clock.monotonic());
  EXPECT_TRUE(sink->taken.empty());
  clock.advance(61min);
  for (int i = 0; i < 5; ++i) shipper.step(clock.monotonic());
  EXPECT_EQ(sink->taken.size(), 3u);
}

TEST(FilterOfStreams, names_series_of_rollups_and_lets_records_be_whole) {
  SinkConfig config{.id = "up"};
  config.filter = {.devices = {"hall-*"}, .fields = {"power"}};
  const auto goes = [&](Stream stream, const std::string& device, std::vector<std::string> fields) {
    Filter filter(for_stream(config, stream).filter);
    Reading reading{.device_id = device, .fields = {}};
    for (auto& name : fields) reading.fields.push_back({name, 1.0});
    storage::Batch batch{.parts = rows_of(std::vector{reading})};
    filter.apply(batch);
    return batch.size() == 0 ? 0 : batch.parts[0].reading(0).fields.size();
  };
  EXPECT_EQ(goes(Stream::hours, "hall-1", {"power_min", "power_max", "current_min"}), 2u);
  EXPECT_EQ(goes(Stream::hours, "yard", {"power_min"}), 0u);
  EXPECT_EQ(goes(Stream::devices, "hall-1", {"device_name", "status"}), 2u);
  EXPECT_EQ(goes(Stream::alerts, "yard", {"alert_id"}), 0u);
  EXPECT_EQ(goes(Stream::summaries, "B1", {"date"}), 1u);
  EXPECT_EQ(goes(Stream::dead_letters, "mqtt", {"letters"}), 1u);
}

}  // namespace
}  // namespace wattd::sync
