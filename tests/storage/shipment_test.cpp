#include "storage/shipment.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>

#include "tests/storage/readings_of.h"
#include "tests/sync/outgoing.h"

namespace wattd::storage {
namespace {

using Key = std::tuple<std::string, std::string, std::int64_t>;

std::map<Key, Value> values_of(const Shipment& shipment) {
  std::map<Key, Value> values;
  for (const auto& part : shipment.parts) {
    for (std::size_t row = 0; row < part.rows.size(); ++row) {
      const auto reading = part.rows.reading(row);
      for (const auto& field : reading.fields)
        EXPECT_TRUE(values.emplace(Key{reading.device_id, field.name, to_unix_us(reading.at)}, field.value).second);
    }
  }
  return values;
}

TEST(Shipment, arrives_as_it_was_sent) {
  EXPECT_TRUE(rc::check([](const std::vector<std::tuple<std::uint8_t, std::uint8_t, std::uint8_t, double>>& said) {
    std::vector<Reading> readings;
    std::map<Key, Value> expected;
    for (const auto& [device, at, field, number] : said) {
      const auto id = "D" + std::to_string(device % 3);
      const Value value = field % 5 == 0   ? Value(number)
                          : field % 5 == 1 ? Value(std::int64_t{at} * 1'000'000'007)
                          : field % 5 == 2 ? Value(field % 2 == 0)
                          : field % 5 == 3 ? Value(std::string(field, 'x'))
                                           : Value(at / 10.0);
      const auto name = "f" + std::to_string(field % 7);
      readings.push_back(
          {.device_id = id, .at = from_unix_us(1'700'000'000'000'000 + at * 1000), .fields = {{name, value}}});
      expected[{id, name, to_unix_us(readings.back().at)}] = value;
    }
    const auto rows = sync::rows_of(readings);
    std::map<std::string, DeviceVersion> versions;
    ShipmentWriter writer("gw");
    for (const auto& one : rows) {
      auto& version = versions[one.device_id];
      version = {one.device_id, "meter", "Hall", "v1", "success"};
      writer.add(one, 0, version);
    }
    const auto shipment = decode_shipment(writer.encode());
    RC_ASSERT(shipment.has_value());
    RC_ASSERT(shipment->gateway == "gw");
    for (const auto& part : shipment->parts) RC_ASSERT(part.device.location == "Hall");
    RC_ASSERT(values_of(*shipment) == expected);
  }));
}

TEST(Shipment, keeps_qualities_and_says_what_is_wrong_with_bytes) {
  const auto rows = sync::rows_of(std::vector<Reading>{{.device_id = "D1",
                                                        .at = from_unix_us(5),
                                                        .quality = Quality::estimated,
                                                        .fields = {{"p", 1.5, Quality::stale}}}});
  ShipmentWriter writer("gw");
  const DeviceVersion version{.device_id = "D1"};
  writer.add(rows[0], 0, version);
  auto bytes = writer.encode();
  const auto shipment = decode_shipment(bytes);
  ASSERT_TRUE(shipment) << shipment.error().message;
  const auto reading = shipment->parts[0].rows.reading(0);
  EXPECT_EQ(reading.quality, Quality::estimated);
  EXPECT_EQ(reading.fields[0].quality, Quality::stale);
  bytes.back() ^= 1;
  EXPECT_EQ(decode_shipment(bytes).error().message, "the shipment is not readable: the checksum does not match");
  bytes[0] = 9;
  EXPECT_EQ(decode_shipment(bytes).error().kind, ErrorKind::corrupt);
  EXPECT_FALSE(decode_shipment({}));
}

}  // namespace
}  // namespace wattd::storage
