#include "telemetry/schema.h"

#include <gtest/gtest.h>

namespace wattd {
namespace {

Reading bulb(double voltage, double current, double power, double temperature) {
  return {.device_id = "D1",
          .fields = {{"voltage", voltage}, {"current", current}, {"power", power}, {"temperature", temperature}}};
}

TEST(BulbSchema, takes_the_seeds_example_and_its_limits) {
  const auto schema = bulb_schema();
  EXPECT_TRUE(validate(bulb(230.5, .85, 195.9, 45.2), schema));
  EXPECT_TRUE(validate(bulb(200, 0, 0, 20), schema));
  EXPECT_TRUE(validate(bulb(250, 2, 500, 80), schema));
}

TEST(BulbSchema, names_every_field_that_is_wrong_and_what_was_expected) {
  auto reading = bulb(251.3, .85, 195.9, 45.2);
  reading.fields.pop_back();
  const auto verdict = validate(reading, bulb_schema());
  ASSERT_FALSE(verdict);
  EXPECT_EQ(verdict.error().kind, ErrorKind::permanent);
  EXPECT_EQ(verdict.error().message, "voltage is 251.3; expected 200 to 250 V; temperature is missing");
}

TEST(BulbSchema, refuses_a_text_for_a_number) {
  auto reading = bulb(230, .85, 195.9, 45.2);
  reading.fields[0].value = std::string("high");
  EXPECT_EQ(validate(reading, bulb_schema()).error().message, "voltage is \"high\"; expected a number");
}

TEST(BulbSchema, keeps_fields_it_does_not_know) {
  auto reading = bulb(230, .85, 195.9, 45.2);
  reading.fields.push_back({"vibration.x", 0.02});
  EXPECT_TRUE(validate(reading, bulb_schema()));
}

TEST(BulbSchema, gives_the_fields_their_measurands) {
  const auto schema = bulb_schema();
  EXPECT_EQ(schema.find("voltage")->measurand, "voltage_l1_n");
  EXPECT_EQ(schema.find("nothing"), nullptr);
}

}  // namespace
}  // namespace wattd
