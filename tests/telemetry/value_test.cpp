#include "telemetry/value.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <bit>
#include <cmath>

#include "telemetry/histogram.h"
#include "telemetry/identity.h"
#include "telemetry/json_text.h"
#include "telemetry/measurand.h"
#include "telemetry/quality.h"
#include "telemetry/reading.h"

namespace wattd {
namespace {

TEST(ShortestDouble, keeps_a_float32_as_its_own_decimal) {
  EXPECT_EQ(to_text(shortest_double(230.1F)), "230.1");
  EXPECT_EQ(to_text(shortest_double(0.85F)), "0.85");
}

TEST(ShortestDouble, reads_back_as_the_same_float) {
  EXPECT_TRUE(rc::check([](std::uint32_t bits) {
    const auto value = std::bit_cast<float>(bits);
    if (!std::isfinite(value)) return;
    RC_ASSERT(static_cast<float>(shortest_double(value)) == value);
  }));
}

std::string decimal(double number) {
  std::string text;
  append_number(text, number);
  return text;
}

TEST(AppendNumber, writes_the_shortest_decimal) {
  EXPECT_EQ(decimal(230.5), "230.5");
  EXPECT_EQ(decimal(-0.05), "-0.05");
  EXPECT_EQ(decimal(0.0001), "0.0001");
  EXPECT_EQ(decimal(-3), "-3");
  EXPECT_EQ(decimal(0), "0");
  EXPECT_EQ(decimal(-0.0), "-0");
  EXPECT_EQ(decimal(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(decimal(99'999'999'999.9999), "99999999999.9999");
  EXPECT_EQ(decimal(1e300), "1e+300");
  EXPECT_EQ(decimal(INFINITY), "inf");
}

TEST(AppendNumber, writes_what_the_general_way_writes) {
  EXPECT_TRUE(rc::check([](std::int64_t digits, std::uint64_t bits) {
    const auto scale = std::pow(10, *rc::gen::inRange(0, 7));
    for (const auto number : {static_cast<double>(digits % 1'000'000'000'000) / scale, std::bit_cast<double>(bits)}) {
      if (std::isnan(number)) continue;
      RC_ASSERT(decimal(number) == fmt::format("{}", number));
    }
  }));
}

TEST(Quality, names_every_flag_that_is_set) {
  EXPECT_EQ(to_string(Quality::good), "good");
  EXPECT_EQ(to_string(Quality::stale | Quality::clock_unsynced), "stale,clock_unsynced");
}

TEST(Measurand, knows_the_vocabulary_and_nothing_else) {
  EXPECT_EQ(find_measurand("power_total")->unit, "W");
  EXPECT_EQ(find_measurand("power_reactive_l1")->unit, "var");
  EXPECT_EQ(find_measurand("power_factor_total")->unit, "1");
  EXPECT_TRUE(find_measurand("energy_import_total")->counter);
  EXPECT_FALSE(find_measurand("energy_net_total")->counter);
  EXPECT_FALSE(find_measurand("power"));
  EXPECT_FALSE(find_measurand("power_"));
  EXPECT_FALSE(find_measurand("power_everything"));
}

TEST(DeviceId, has_one_to_fifty_bytes_and_no_topic_signs) {
  EXPECT_TRUE(is_valid_device_id("COMPRESSOR_A"));
  EXPECT_TRUE(is_valid_device_id(std::string(50, 'x')));
  EXPECT_FALSE(is_valid_device_id(std::string(51, 'x')));
  EXPECT_TRUE(is_valid_device_id("\xe7\x94\xb5\xe8\xa1\xa8"));
  for (const auto* id : {"", "a/b", "a+", "#", "a\nb"}) EXPECT_FALSE(is_valid_device_id(id)) << id;
}

TEST(Uuid, made_of_a_name_stays_the_same_for_ever) {
  EXPECT_EQ(uuid_from_name("rule:Bulb Overheat"), uuid_from_name("rule:Bulb Overheat"));
  EXPECT_NE(uuid_from_name("a"), uuid_from_name("b"));
  EXPECT_NE(random_uuid(), random_uuid());
  EXPECT_EQ(random_uuid().size(), 36u);
  EXPECT_EQ(random_uuid()[14], '4');
}

TEST(Histogram, finds_a_quantile_to_within_a_fifth) {
  Histogram histogram;
  for (int i = 1; i <= 1000; ++i) histogram.add(i * 1e-3);
  EXPECT_NEAR(histogram.quantile(.95), .95, .95 * .42);
  EXPECT_GE(histogram.quantile(.95), .95);
  EXPECT_EQ(histogram.count(), 1000u);
  EXPECT_EQ(Histogram().quantile(.5), 0);
}

TEST(ReadingAsJson, keeps_every_kind_of_value) {
  const Reading reading{
      .device_id = "D\"1",
      .at = from_unix_us(0),
      .fields = {{"v", 230.1}, {"n", std::int64_t{3}}, {"on", true}, {"s", std::string("a\nb")}, {"x", NAN}}};
  EXPECT_EQ(to_json(reading),
            R"({"device_id":"D\"1","timestamp":"1970-01-01T00:00:00Z","v":230.1,"n":3,"on":true,"s":"a\nb","x":null})");
}

}  // namespace
}  // namespace wattd
