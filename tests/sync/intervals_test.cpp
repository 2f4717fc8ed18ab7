// Hours, days and summaries follow the readings in them.
#include "sync/intervals.h"

#include "tests/storage/store_fixture.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;
using storage::kNoon;
using storage::Position;

struct IntervalsTest : storage::StoreFixture {
  std::unique_ptr<Source> source(Stream stream) {
    return interval_source(std::make_unique<storage::Reader>(store->path()), stream, clock);
  }
  void now_is(Timestamp at) { clock.step_wall(at - clock.now()); }
  /// `at power` of one device, by field and hour.
  static std::vector<std::string> told(const storage::Batch& batch, const std::string& field) {
    std::vector<std::string> list;
    for (const auto& rows : batch.parts) {
      for (std::size_t row = 0; row < rows.size(); ++row) {
        const auto reading = rows.reading(row);
        const auto* found = reading.find(field);
        list.push_back(reading.device_id + format_iso8601(reading.at).substr(10, 6) + " " +
                       (found == nullptr ? "-" : to_text(found->value)));
      }
    }
    return list;
  }
  FakeClock clock{kNoon};
};

TEST_F(IntervalsTest, an_hour_is_told_once_it_is_over_and_again_after_what_comes_late) {
  commit({reading(kNoon + 1min, 10), reading(kNoon + 2min, 20, "D2")});
  commit({reading(kNoon + 30min, 30)});
  const auto hours = source(Stream::hours);
  now_is(kNoon + 61min);  // some of it may still be on its way
  EXPECT_TRUE(hours->batch_after({}, 100, UINT64_MAX)->parts.empty());
  now_is(kNoon + 63min);
  commit({reading(kNoon + 62min, 99)});
  const auto first = hours->batch_after({}, 100, UINT64_MAX);
  EXPECT_EQ(told(*first, "power_mean"), (std::vector<std::string>{"D1T12:00 20", "D2T12:00 20"}));
  EXPECT_EQ(told(*first, "power_max"), (std::vector<std::string>{"D1T12:00 30", "D2T12:00 20"}));
  EXPECT_EQ(first->end.seq, 2u);
  EXPECT_EQ(*hours->last(), 2u);
  // Asked again after a failure it is the same, and behind it there is nothing yet.
  EXPECT_EQ(told(*hours->batch_after({}, 100, UINT64_MAX), "power_mean"), told(*first, "power_mean"));
  const auto behind = hours->batch_after(first->end, 100, UINT64_MAX);
  EXPECT_TRUE(behind->parts.empty());
  EXPECT_EQ(hours->batch_after(behind->end, 100, UINT64_MAX)->end, behind->end);
  // What is late does not wait for the running hour, before which the cursor stands.
  commit({reading(kNoon + 40min, 50)});
  const auto late = hours->batch_after(behind->end, 100, UINT64_MAX);
  EXPECT_EQ(told(*late, "power_mean"), std::vector<std::string>{"D1T12:00 30"});
  EXPECT_EQ(late->end.seq, 2u);
  EXPECT_NE(late->end, behind->end);
  now_is(kNoon + 123min);
  commit({reading(kNoon + 122min, 1)});
  const auto second = hours->batch_after(late->end, 100, UINT64_MAX);
  EXPECT_EQ(told(*second, "power_mean"), (std::vector<std::string>{"D1T12:00 30", "D1T13:00 99"}));
}

TEST_F(IntervalsTest, the_energy_of_an_hour_is_told_anew_once_the_next_reading_tells_its_end) {
  const auto counted = [](Timestamp at, double kwh) {
    return Reading{
        .device_id = "D1", .at = at, .received = at, .device_version = 1, .fields = {{"energy_import_total", kwh}}};
  };
  commit({counted(kNoon, 100), counted(kNoon + 45min, 103)});
  now_is(kNoon + 63min);
  const auto hours = source(Stream::hours);
  const auto first = hours->batch_after({}, 100, UINT64_MAX);
  EXPECT_EQ(told(*first, "energy_import_total_energy"), std::vector<std::string>{"D1T12:00 3"});
  // The hour of 13 has none at all.
  commit({counted(kNoon + 135min, 109)});
  now_is(kNoon + 183min);
  const auto second = hours->batch_after(first->end, 100, UINT64_MAX);
  EXPECT_EQ(told(*second, "energy_import_total_energy"),
            (std::vector<std::string>{"D1T12:00 4", "D1T13:00 4", "D1T14:00 1"}));
}

TEST_F(IntervalsTest, a_counter_that_speaks_seldom_beside_one_that_speaks_often_loses_nothing) {
  std::vector<Reading> readings;
  for (int minute = 0; minute <= 360; minute += 10) {
    readings.push_back({.device_id = "D1",
                        .at = kNoon + minute * 1min,
                        .received = kNoon + minute * 1min,
                        .device_version = 1,
                        .fields = {{"energy_import_total", 100.0 + minute}}});
    if (minute % 360 == 0) readings.back().fields.push_back({"energy_export_total", 10.0 + minute / 6.0});
  }
  const auto hours = source(Stream::hours);
  std::map<std::string, double> export_of;
  storage::Position at;
  for (std::size_t i = 0; i < readings.size(); ++i) {
    commit({readings[i]});
    now_is(readings[i].at + 3min);
    const auto batch = hours->batch_after(at, 100, UINT64_MAX);
    at = batch->end;
    for (const auto& rows : batch->parts) {
      for (std::size_t row = 0; row < rows.size(); ++row) {
        if (const auto reading = rows.reading(row); const auto* field = reading.find("energy_export_total_energy"))
          export_of[format_iso8601(reading.at)] = *as_number(field->value);
      }
    }
  }
  double sum = 0;
  for (const auto& [hour, kwh] : export_of) sum += kwh;
  EXPECT_NEAR(sum, 60, .001);
  EXPECT_EQ(export_of.size(), 6u);
}

TEST_F(IntervalsTest, nothing_is_missed_of_what_the_ring_has_overwritten) {
  ring_bytes = 20'000;
  open();
  for (int hour = 0; hour < 30; ++hour) {
    for (int i = 0; i < 12; ++i) commit({reading(kNoon + hour * 1h + i * 5min, hour)});
    settle(kNoon + hour * 1h + 1h);
  }
  now_is(kNoon + 40h);
  const auto hours = source(Stream::hours);
  std::map<Timestamp, double> means;
  Position at;
  for (int i = 0; i < 1000; ++i) {
    const auto batch = hours->batch_after(at, 100, UINT64_MAX);
    ASSERT_TRUE(batch);
    if (batch->end == at) break;
    at = batch->end;
    for (const auto& rows : batch->parts) {
      for (std::size_t row = 0; row < rows.size(); ++row)
        means[rows.reading(row).at] = *as_number(rows.reading(row).find("power_mean")->value);
    }
  }
  ASSERT_EQ(means.size(), 30u);
  for (const auto& [start, mean] : means) EXPECT_EQ(mean, static_cast<double>((start - kNoon) / 1h));
}

TEST_F(IntervalsTest, the_hour_that_comes_twice_in_autumn_is_two_and_its_day_is_one) {
  store.reset();
  auto berlin = options();
  berlin.zone = "Europe/Berlin";
  store = std::make_unique<storage::Store>(berlin);
  const auto midnight = *parse_iso8601("2026-10-24T22:00:00Z");  // of the 25th, which has 25 hours there
  std::vector<Reading> readings;
  for (int hour = 0; hour < 25; ++hour) readings.push_back(reading(midnight + hour * 1h + 30min, hour));
  commit(readings);
  commit({reading(midnight + 26h, 99)});
  now_is(midnight + 27h);
  const auto hours = source(Stream::hours)->batch_after({}, 100, UINT64_MAX);
  EXPECT_EQ(told(*hours, "power_mean").size(), 25u);
  EXPECT_EQ(told(*hours, "power_mean")[2], "D1T00:00 2");  // 02:00 in summer
  EXPECT_EQ(told(*hours, "power_mean")[3], "D1T01:00 3");  // and once more
  const auto days = source(Stream::days)->batch_after({}, 100, UINT64_MAX);
  EXPECT_EQ(told(*days, "power_count"), std::vector<std::string>{"D1T22:00 25"});
  EXPECT_EQ(told(*days, "power_max"), std::vector<std::string>{"D1T22:00 24"});
}

TEST_F(IntervalsTest, a_building_counts_nothing_twice) {
  storage::Group group;
  group.devices = {{.id = "MAIN", .name = "Main", .type = "meter", .building = "hall", .version = 1},
                   {.id = "SUB",
                    .name = "Sub",
                    .type = "meter",
                    .building = "hall",
                    .role = MeterRole::sub,
                    .parent_id = "MAIN",
                    .version = 1}};
  for (int i = 0; i <= 24 * 4; ++i) {
    for (const auto* id : {"MAIN", "SUB"})
      group.readings.push_back({.device_id = id,
                                .at = kNoon + 12h + i * 15min,
                                .received = kNoon + 12h + i * 15min,
                                .device_version = 1,
                                .fields = {{"energy_import_total", 1000 + i * (id[0] == 'M' ? 2.0 : 1.0)}}});
  }
  ASSERT_TRUE(store->commit(group));
  commit({reading(kNoon + 70h, 1)});
  now_is(kNoon + 70h);
  settle(kNoon + 70h);
  const auto summaries = source(Stream::summaries);
  const auto batch = summaries->batch_after({}, 100, UINT64_MAX);
  ASSERT_EQ(batch->parts.size(), 1u);
  const auto day = batch->parts[0].reading(0);
  EXPECT_EQ(day.device_id, "hall");
  EXPECT_EQ(day.find("date")->value, Value("2026-02-08"));
  EXPECT_NEAR(*as_number(day.find("total_consumption_kwh")->value), 192, 2);
  EXPECT_NEAR(*as_number(day.find("peak_demand_kw")->value), 8, .01);
}

}  // namespace
}  // namespace wattd::sync
