#include "drivers/mqtt/payload.h"

#include <gtest/gtest.h>

namespace wattd::drivers::mqtt {
namespace {

Result<Decoded> decode(std::string_view payload) { return PayloadDecoder().decode(payload); }
std::string complaint(std::string_view payload) {
  const auto decoded = decode(payload);
  return decoded ? "" : decoded.error().message;
}

TEST(Payload, reads_the_seeds_message) {
  const auto decoded = decode(
      R"({"device_id":"D1","timestamp":"2026-02-07T11:26:00Z","voltage":230.5,"current":0.85,"power":195.9,"temperature":45.2})");
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->reading.device_id, "D1");
  EXPECT_TRUE(decoded->has_stamp);
  EXPECT_EQ(to_unix_us(decoded->reading.at), 1'770'463'560'000'000);
  ASSERT_EQ(decoded->reading.fields.size(), 4u);
  EXPECT_EQ(decoded->reading.fields[0], (Field{"voltage", 230.5}));
}

TEST(Payload, drops_no_field_whatever_its_shape) {
  const auto decoded = decode(R"({"a":{"b":{"c":1}},"list":[1.5,"x"],"on":true,"note":"warm","absent":null})");
  ASSERT_TRUE(decoded);
  const std::vector<Field> expected{{"a.b.c", std::int64_t{1}},
                                    {"list.0", 1.5},
                                    {"list.1", std::string("x")},
                                    {"on", true},
                                    {"note", std::string("warm")}};
  EXPECT_EQ(decoded->reading.fields, expected);
  EXPECT_FALSE(decoded->has_stamp);
}

TEST(Payload, refuses_what_is_not_one_clean_object) {
  EXPECT_EQ(complaint("[1]"), "expected a JSON object");
  for (const auto* payload :
       {"", "{", "{\"a\":1,}", "{\"a\":1} x", "{\"a\":NaN}", "{\"a\":1e999}", "{\"a\":\"\xff\"}"}) {
    EXPECT_TRUE(complaint(payload).starts_with("not valid JSON")) << payload << ": " << complaint(payload);
  }
}

TEST(Payload, refuses_ambiguous_and_hostile_names) {
  EXPECT_EQ(complaint(R"({"power":1,"power":2})"), "field power appears twice");
  EXPECT_EQ(complaint(R"({"a":{"b":1},"a.b":2})"), "field a.b appears twice");
  EXPECT_EQ(complaint(R"({"":1})"), "a field has an empty name");
  std::string deep = "1";
  for (int i = 0; i < 20; ++i) deep = "{\"a\":" + deep + "}";
  EXPECT_NE(complaint(deep).find("nested more than 16 levels"), std::string::npos) << complaint(deep);
  std::string wide = "{\"x\":0";
  for (int i = 0; i < 1000; ++i) wide += ",\"f" + std::to_string(i) + "\":1";
  EXPECT_EQ(complaint(wide + "}"), "there are more than 1000 fields");
}

TEST(Payload, takes_epochs_and_refuses_other_stamps) {
  EXPECT_EQ(to_unix_us(decode(R"({"timestamp":1770463560,"a":1})")->reading.at), 1'770'463'560'000'000);
  EXPECT_EQ(to_unix_us(decode(R"({"timestamp":1770463560123,"a":1})")->reading.at), 1'770'463'560'123'000);
  EXPECT_TRUE(
      complaint(R"({"timestamp":"yesterday","a":1})").starts_with("timestamp is \"yesterday\"; expected RFC 3339"));
}

TEST(DeviceInTopic, is_what_stands_at_the_first_plus) {
  EXPECT_EQ(device_in_topic("devices/+/telemetry", "devices/D1/telemetry"), "D1");
  EXPECT_EQ(device_in_topic("plant/+/+/data", "plant/a/b/data"), "a");
  EXPECT_FALSE(device_in_topic("devices/+/telemetry", "other/D1/telemetry"));
  EXPECT_FALSE(device_in_topic("all/#", "all/D1"));
}

}  // namespace
}  // namespace wattd::drivers::mqtt
