// Whatever range and step a query names: its energy is what the counter counted there, no more and no less.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>

#include "storage/reader.h"
#include "storage/store.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;

const Timestamp kMidnight = *parse_iso8601("2026-02-06T18:30:00Z");  // of Kolkata

struct EnergyTest : testing::TestWithParam<int> {
  ~EnergyTest() override { std::filesystem::remove_all(directory); }

  void commit(const std::vector<CounterReading>& readings) {
    Group group{.devices = {{.id = "M", .name = "M", .type = "meter", .version = 1}}};
    for (const auto& one : readings) {
      group.readings.push_back(
          {.device_id = "M", .at = one.at, .received = one.at, .device_version = 1, .fields = {{"kwh", one.value}}});
    }
    ASSERT_TRUE(store->commit(group));
  }
  void settle(Timestamp now) {
    for (auto more = store->maintain(now); more && *more;) more = store->maintain(now);
  }
  /// What all buckets say together: readings, and milliwatt-hours.
  std::pair<std::int64_t, std::int64_t> total(TimeRange range, Step step) {
    std::pair<std::int64_t, std::int64_t> sum;
    const auto buckets = reader->aggregate({"M", "kwh"}, range, step, 100'000);
    for (const auto& bucket : *buckets) sum.first += bucket.count, sum.second += bucket.milli.value_or(0);
    return sum;
  }

  void open(const std::string& zone) {
    store.reset();
    store = std::make_unique<Store>(Options{.directory = directory,
                                            .zone = zone,
                                            .ballast_bytes = 0,
                                            .backups = 0,
                                            .compaction = {.cells = 300, .rows = 128, .small_rows = 40}});
    EXPECT_TRUE(store->describe_series(
        [](std::string_view, std::string_view) { return SeriesFacts{.measurand = "energy_import_total"}; }));
  }

  std::string directory =
      (std::filesystem::temp_directory_path() / ("wattd-energy-" + std::to_string(getpid()))).string();
  std::unique_ptr<Store> store;
  std::unique_ptr<Reader> reader;
};

TEST_P(EnergyTest, is_the_same_by_every_step_of_any_range) {
  open("Asia/Kolkata");
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  const auto any = [&](int least, int most) { return std::uniform_int_distribution(least, most)(random); };
  // Three days of a meter that is read every some minutes, is silent at times, and is exchanged once.
  std::vector<CounterReading> all;
  double kwh = any(0, 100'000);
  for (auto at = kMidnight + any(0, 900) * 1s; at < kMidnight + 72h; at += any(1, 9) * 1min + any(0, 59) * 1s) {
    if (any(0, 199) == 0) at += any(1, 300) * 1min;
    if (all.size() == 300) kwh = any(0, 10);
    kwh = std::round((kwh + any(0, 50) * 0.01) * 100) / 100;
    all.push_back({at, kwh});
  }
  // What is late comes in another group; part of the rest is compacted before, part of it not at all.
  std::vector<CounterReading> late;
  for (std::size_t from = 0; from < all.size();) {
    std::vector<CounterReading> group;
    const auto to = std::min(all.size(), from + static_cast<std::size_t>(any(1, 120)));
    for (; from < to; ++from) (any(0, 30) == 0 ? late : group).push_back(all[from]);
    commit(group);
    if (any(0, 2) != 0) settle(all[to - 1].at + 1s);
    // Somebody changes the zone while hours wait for their end.
    if (any(0, 9) == 0) open(any(0, 1) == 0 ? "UTC" : "Asia/Kolkata");
  }
  commit(late);
  if (any(0, 1) == 0) settle(all.back().at + any(0, 3) * 1h);

  open("Asia/Kolkata");
  std::vector<Increment> increments;
  Counter counter({});
  for (const auto& one : all) {
    for (const auto& increment : counter.take(one)) increments.push_back(increment);
  }
  reader = std::make_unique<Reader>(store->path());
  for (int i = 0; i < 60; ++i) {
    auto from = kMidnight + any(-60, 72 * 60) * 1min;
    if (i % 3 == 0) from = std::chrono::floor<std::chrono::hours>(from) + 30min;
    const TimeRange range{from, from + any(1, 40 * 60) * 1min};
    SCOPED_TRACE(format_iso8601(range.from) + " to " + format_iso8601(range.to));
    const auto readings = std::ranges::count_if(all, [&](const auto& one) { return range.contains(one.at); });
    std::int64_t expected = 0;
    for (const auto& increment : increments) expected += increment.within(range);
    for (const auto step :
         {Step::hours(), Step::days(), Step::months(), Step::whole(), Step::of(15min), Step::of(1h)}) {
      const auto [count, milli] = total(range, step);
      EXPECT_EQ(count, readings) << static_cast<int>(step.unit) << ' ' << step.length / 1s;
      // An increment that is cut at the range's ends is rounded there.
      EXPECT_NEAR(static_cast<double>(milli), static_cast<double>(expected), 2)
          << static_cast<int>(step.unit) << ' ' << step.length / 1s;
    }
    std::int64_t counted = 0;
    const auto found = reader->increments({"M", "kwh"}, range).value();
    for (const auto& increment : found) counted += increment.within(range);
    EXPECT_EQ(counted, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, EnergyTest, testing::Range(1, 13));

}  // namespace
}  // namespace wattd::storage
