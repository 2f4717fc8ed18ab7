// Hours, days and energy: what queries make of what is stored.
#include <tuple>

#include "storage/rollup_rows.h"
#include "tests/storage/store_fixture.h"

namespace wattd::storage {
namespace {

struct AggregateTest : StoreFixture {};

TEST_F(AggregateTest, rolls_up_an_hour_once_it_has_ended) {
  commit({reading(kNoon, 1), reading(kNoon + 30min, 5), reading(kNoon + 59min, 3)});
  settle(kNoon + 30min);
  Reader reader(store->path());
  settle(kNoon + 2h);
  const auto hours = reader.aggregate({"D1", "power"}, {kNoon, kNoon + 24h}, Step::hours(), 100);
  ASSERT_EQ(hours->size(), 1u);
  EXPECT_EQ(std::tuple(hours->front().start, hours->front().count, hours->front().min, hours->front().max),
            std::tuple(kNoon, 3, 1.0, 5.0));
  EXPECT_EQ(std::tuple(hours->front().sum, hours->front().first, hours->front().last), std::tuple(9.0, 1.0, 3.0));
  EXPECT_DOUBLE_EQ(hours->front().coverage, 1);
}

TEST_F(AggregateTest, goes_on_when_a_device_says_numbers_too_big_to_add_up) {
  commit({reading(kNoon, 1.7e308), reading(kNoon + 1s, 1.7e308)});
  commit({reading(kNoon + 1h, -1.7e308), reading(kNoon + 1h + 1s, -1.7e308)});
  settle(kNoon + 5h);
  EXPECT_EQ(Reader(store->path()).aggregate({"D1", "power"}, {kNoon, kNoon + 2h}, Step::hours(), 10)->size(), 2u);
}

TEST_F(AggregateTest, corrects_a_rollup_by_what_comes_late) {
  commit({reading(kNoon, 1)});
  settle(kNoon + 2h);
  commit({reading(kNoon + 10min, 9), reading(kNoon, 2)});
  settle(kNoon + 3h);
  const auto hours = Reader(store->path()).aggregate({"D1", "power"}, {kNoon, kNoon + 1h}, Step::hours(), 100);
  ASSERT_EQ(hours->size(), 1u);
  EXPECT_EQ(std::tuple(hours->front().count, hours->front().min, hours->front().sum), std::tuple(2, 2.0, 11.0));
}

TEST_F(AggregateTest, sums_raw_buckets_and_hours_to_the_same) {
  std::vector<Reading> readings;
  for (int i = 0; i < 240; ++i) readings.push_back(reading(kNoon + i * 1min, i));
  commit(readings);
  Reader reader(store->path());
  const auto before = reader.aggregate({"D1", "power"}, {kNoon, kNoon + 4h}, Step::hours(), 100);
  settle(kNoon + 10h);
  const auto after = reader.aggregate({"D1", "power"}, {kNoon, kNoon + 4h}, Step::hours(), 100);
  ASSERT_EQ(before->size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ((*before)[i].sum, (*after)[i].sum);
  const auto quarters = reader.aggregate({"D1", "power"}, {kNoon, kNoon + 4h}, Step::of(15min), 100);
  EXPECT_EQ(quarters->size(), 16u);
  const auto cut = reader.aggregate({"D1", "power"}, {kNoon, kNoon + 90min}, Step::hours(), 100);
  ASSERT_EQ(cut->size(), 2u);
  EXPECT_EQ((*cut)[1].count, 30);
}

TEST_F(AggregateTest, keeps_the_days_of_the_sites_zone_and_recomputes_them_for_another) {
  std::vector<Reading> readings;
  for (int i = 0; i < 48; ++i) readings.push_back(reading(kNoon + i * 30min, 1));
  commit(readings);
  settle(kNoon + 48h);
  const TimeRange days{kNoon - 24h, kNoon + 48h};
  EXPECT_EQ(Reader(store->path()).aggregate({"D1", "power"}, days, Step::days(), 9)->front().count, 24);
  store.reset();
  store = std::make_unique<Store>(Options{.directory = directory, .zone = "Asia/Kolkata", .ballast_bytes = 0});
  settle(kNoon + 48h);
  const auto india = Reader(store->path()).aggregate({"D1", "power"}, days, Step::days(), 9);
  ASSERT_EQ(india->size(), 2u);
  EXPECT_EQ(india->front().start, *parse_iso8601("2026-02-06T18:30:00Z"));
  EXPECT_EQ(india->front().count, 13);
  EXPECT_EQ(india->back().count, 35);
}

TEST_F(AggregateTest, counts_energy_where_it_was_used_and_says_what_was_reckoned) {
  ASSERT_TRUE(store->describe_series(
      [](std::string_view, std::string_view) { return SeriesFacts{.measurand = "energy_import_total"}; }));
  const auto counter = [](Timestamp at, double kwh) {
    return Reading{.device_id = "D1", .at = at, .received = at, .device_version = 1, .fields = {{"energy", kwh}}};
  };
  // A kWh an hour; then three hours of silence, then a meter that begins anew.
  commit({counter(kNoon, 100), counter(kNoon + 30min, 100.5), counter(kNoon + 55min, 101), counter(kNoon + 4h, 104.7)});
  commit({counter(kNoon + 4h + 10min, 5), counter(kNoon + 4h + 20min, 6), counter(kNoon + 4h + 30min, 7)});
  settle(kNoon + 10h);
  Reader reader(store->path());
  const auto hours = reader.aggregate({"D1", "energy"}, {kNoon, kNoon + 6h}, Step::hours(), 99);
  ASSERT_EQ(hours->size(), 5u);
  EXPECT_NEAR(*value_of((*hours)[1], Aggregate::energy), 1.2, 1e-6);
  EXPECT_TRUE(has((*hours)[1].quality, Quality::estimated));
  EXPECT_NEAR(*value_of((*hours)[4], Aggregate::energy), 2, 1e-6) << "a new meter's first reading is no energy";
  EXPECT_TRUE(has((*hours)[4].quality, Quality::reset));
  const auto whole = reader.aggregate({"D1", "energy"}, {kNoon, kNoon + 6h}, Step::whole(), 1);
  EXPECT_NEAR(*value_of(whole->front(), Aggregate::energy), 6.7, 1e-6);
  const auto quarters = reader.aggregate({"D1", "energy"}, {kNoon, kNoon + 30min}, Step::of(15min), 9);
  ASSERT_EQ(quarters->size(), 2u);
  EXPECT_NEAR(*value_of(quarters->front(), Aggregate::energy), .25, 1e-6);
}

TEST_F(AggregateTest, counts_energy_anew_when_a_counters_rules_change) {
  CounterRules rules;
  const auto describe = [&] {
    ASSERT_TRUE(store->describe_series([&](std::string_view, std::string_view) {
      return SeriesFacts{.measurand = "energy_import_total", .counter = rules};
    }));
  };
  const auto energy = [&](TimeRange range, Step step) {
    Reader reader(store->path());
    const auto found = reader.aggregate({"D1", "energy"}, range, step, 1);
    return value_of(found->front(), Aggregate::energy).value_or(-1);
  };
  describe();
  // From 999.9 around to 0.1, and on: without a modulus that is a reset, whose first reading counts nothing.
  std::vector<Reading> readings;
  const double shown[] = {999.5, 999.7, 999.9, 0.1, 0.3, 0.5, 0.7};
  for (int i = 0; i < 7; ++i) {
    readings.push_back(reading(kNoon + i * 20min, 0));
    readings.back().fields = {{"energy", shown[i]}};
  }
  commit(readings);
  settle(kNoon + 40h);
  const TimeRange three{kNoon, kNoon + 3h};
  EXPECT_NEAR(energy(three, Step::whole()), 1.0, 1e-9);
  rules.modulus = 1000;
  describe();
  EXPECT_NEAR(energy(three, Step::whole()), 1.2, 1e-9) << "at once, from the readings";
  settle(kNoon + 40h);
  EXPECT_NEAR(energy(three, Step::whole()), 1.2, 1e-9);
  EXPECT_NEAR(energy({kNoon + 40min, kNoon + 60min}, Step::of(20min)), 0.2, 1e-9);
  const auto day = store->calendar().day_of(kNoon);
  EXPECT_NEAR(energy(day, Step::days()), 1.2, 1e-9) << "the day follows its hours";
  Database database(store->path(), Database::Mode::reader);
  EXPECT_EQ(RollupRows(database, RollupRows::Table::daily).range(1, kAlways).front().milli, 1'200'000);
  const auto written = store->usage().last_seq;
  describe();
  EXPECT_FALSE(*store->maintain(kNoon + 40h)) << "nothing has changed, nothing is to be done";
  EXPECT_EQ(store->usage().last_seq, written);
}

TEST_F(AggregateTest, keeps_what_was_counted_of_hours_whose_readings_are_gone) {
  CounterRules rules;
  const auto describe = [&] {
    ASSERT_TRUE(store->describe_series([&](std::string_view, std::string_view) {
      return SeriesFacts{.measurand = "energy_import_total", .counter = rules};
    }));
  };
  describe();
  std::vector<Reading> readings;
  for (int minute = 0; minute < 60 * 30; ++minute) {
    readings.push_back(reading(kNoon + minute * 1min, 0));
    readings.back().fields = {{"energy", 100 + minute / 60.0}};
  }
  commit(readings);
  settle(kNoon + 48h);
  const auto told = [&] {
    Reader reader(store->path());
    return *reader.aggregate({"D1", "energy"}, {kNoon, kNoon + 30h}, Step::hours(), 99);
  };
  const auto before = told();
  ASSERT_EQ(before.size(), 30u);
  // The first of its chunks is damaged: its hours are not recounted from nothing.
  {
    Database database(store->path(), Database::Mode::writer);
    database.leave_log();
    database.execute("UPDATE chunks SET body=zeroblob(length(body)) WHERE chunk_id=(SELECT min(chunk_id) FROM chunks)");
  }
  rules.resolution = .001;
  describe();
  settle(kNoon + 48h);
  const auto after = told();
  ASSERT_EQ(after.size(), 30u);
  std::int64_t was = 0;
  std::int64_t is = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].count, before[i].count) << i;
    was += before[i].milli.value_or(0), is += after[i].milli.value_or(0);
  }
  EXPECT_EQ(is, was);
}

}  // namespace
}  // namespace wattd::storage
