#include "telemetry/demand.h"

#include <gtest/gtest.h>

#include "telemetry/meter_tree.h"

namespace wattd {
namespace {

using namespace std::chrono_literals;

const Timestamp kNoon = from_unix_us(1'770'465'600'000'000);

/// A minute's increment each, of so many watts.
std::vector<Increment> steady(Timestamp from, int minutes, double watts) {
  std::vector<Increment> increments;
  for (int i = 0; i < minutes; ++i)
    increments.push_back({from + i * 1min, from + (i + 1) * 1min, static_cast<std::int64_t>(watts * 1000 / 60)});
  return increments;
}

TEST(Demand, is_the_energy_of_a_block_over_its_time) {
  const auto blocks = energy_blocks(steady(kNoon, 60, 6000), Calendar(), {kNoon, kNoon + 1h}, 15min);
  ASSERT_EQ(blocks.size(), 4u);
  for (const auto& block : blocks) {
    EXPECT_NEAR(block.demand_kw(), 6, 1e-9);
    EXPECT_TRUE(block.is_complete());
  }
}

TEST(Demand, stands_on_the_sites_quarters) {
  const auto blocks = energy_blocks({}, Calendar("Asia/Kathmandu"), {kNoon, kNoon + 1h}, 30min);  // UTC+5:45
  EXPECT_EQ(blocks.front().range.from, kNoon - 15min);
}

TEST(Demand, sets_no_peak_by_a_block_that_is_not_complete) {
  auto increments = steady(kNoon, 13, 60'000);  // the highest, but two minutes are missing
  const auto more = steady(kNoon + 15min, 15, 6000);
  increments.insert(increments.end(), more.begin(), more.end());
  const auto blocks = energy_blocks(increments, Calendar(), {kNoon, kNoon + 30min}, 15min);
  const auto peak = peak_of(blocks, {kNoon, kNoon + 30min});
  ASSERT_TRUE(peak);
  EXPECT_EQ(peak->range.from, kNoon + 15min);
}

TEST(Demand, takes_what_came_over_a_silence_as_energy_but_as_no_peak) {
  const std::vector<Increment> silence{{kNoon, kNoon + 2h, 100'000'000}};
  const auto blocks = energy_blocks(silence, Calendar(), {kNoon, kNoon + 2h}, 15min);
  std::int64_t sum = 0;
  for (const auto& block : blocks) sum += block.milli;
  EXPECT_EQ(sum, 100'000'000);
  EXPECT_FALSE(peak_of(blocks, {kNoon, kNoon + 2h}));
}

TEST(Demand, slides_over_shorter_blocks) {
  auto increments = steady(kNoon, 10, 0);
  for (const auto& part : {steady(kNoon + 10min, 15, 12'000), steady(kNoon + 25min, 5, 0)})
    increments.insert(increments.end(), part.begin(), part.end());
  const auto fives = energy_blocks(increments, Calendar(), {kNoon, kNoon + 30min}, 5min);
  const auto sliding = peak_of(slide(fives, 3), {kNoon, kNoon + 30min});
  ASSERT_TRUE(sliding);
  EXPECT_NEAR(sliding->demand_kw(), 12, 1e-9);
  EXPECT_EQ(sliding->range, (TimeRange{kNoon + 10min, kNoon + 25min}));
  const auto fixed =
      peak_of(energy_blocks(increments, Calendar(), {kNoon, kNoon + 30min}, 15min), {kNoon, kNoon + 30min});
  EXPECT_NEAR(fixed->demand_kw(), 8, 1e-9);
}

TEST(Demand, of_a_sum_is_covered_as_its_worst_part) {
  const TimeRange range{kNoon, kNoon + 15min};
  auto sum = energy_blocks(steady(kNoon, 15, 4000), Calendar(), range, 15min);
  std::vector<EnergyBlock> total;
  add_blocks(total, sum, 1);
  add_blocks(total, energy_blocks(steady(kNoon, 5, 1000), Calendar(), range, 15min), -1);
  EXPECT_NEAR(total[0].coverage, 1.0 / 3, 1e-9);
  EXPECT_LT(total[0].milli, sum[0].milli);
}

struct MeterTree : testing::Test {
  static Device meter(std::string id, MeterRole role, std::string parent, std::string building,
                      std::string formula = {}) {
    return {.id = std::move(id),
            .building = std::move(building),
            .role = role,
            .parent_id = std::move(parent),
            .formula = std::move(formula)};
  }
  std::vector<Device> devices{meter("MAIN", MeterRole::main, "", "B1"),
                              meter("HVAC", MeterRole::sub, "MAIN", "B1"),
                              meter("FAN", MeterRole::sub, "HVAC", "B1"),
                              meter("PV", MeterRole::main, "", "B1"),
                              meter("REST", MeterRole::virtual_meter, "", "B1", "MAIN - HVAC"),
                              meter("NET", MeterRole::virtual_meter, "", "B1", "REST + \"PV\""),
                              meter("LOOP", MeterRole::virtual_meter, "", "B1", "NET - LOOP"),
                              meter("TENANT", MeterRole::sub, "MAIN", "B2")};
};

TEST_F(MeterTree, counts_nothing_twice_in_a_building) {
  EXPECT_EQ(*terms_of_building("B1", devices), (std::vector<MeterTerm>{{"MAIN", 1}, {"PV", 1}}));
  EXPECT_EQ(terms_of_building("B9", devices).error().message, "building B9 has no meter");
}

TEST_F(MeterTree, takes_a_sub_meter_for_a_building_whose_main_meter_stands_elsewhere) {
  EXPECT_EQ(*terms_of_building("B2", devices), (std::vector<MeterTerm>{{"TENANT", 1}}));
}

TEST_F(MeterTree, resolves_virtual_meters) {
  EXPECT_EQ(*terms_of("NET", devices), (std::vector<MeterTerm>{{"MAIN", 1}, {"HVAC", -1}, {"PV", 1}}));
  EXPECT_EQ(terms_of("LOOP", devices).error().message, "the formula of LOOP refers to itself");
  devices.push_back(meter("BAD", MeterRole::virtual_meter, "", "", "MAIN HVAC"));
  EXPECT_EQ(terms_of("BAD", devices).error().message.find("the formula of BAD cannot be read at \"HVAC\""), 0u);
}

}  // namespace
}  // namespace wattd
