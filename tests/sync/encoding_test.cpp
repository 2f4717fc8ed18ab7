#include <gtest/gtest.h>

#include <cmath>

#include "prometheus.pb.h"
#include "sync/documents.h"
#include "sync/line_protocol.h"
#include "sync/remote_write.h"
#include "tests/sync/outgoing.h"

namespace wattd::sync {
namespace {

TEST(LineProtocol, writes_the_seeds_measurement_and_tags_and_the_gateway) {
  const Reading reading{.device_id = "D1",
                        .at = from_unix_us(1'770'463'560'000'001),
                        .fields = {{"voltage", 230.5}, {"count", std::int64_t{3}}}};
  const storage::DeviceVersion device{"D1", "bulb", "Plant-A", "v1", "success"};
  EXPECT_EQ(to_lines(Batch({reading}, device), {.gateway = "gw"}),
            "device_telemetry,device_id=D1,device_type=bulb,enrichment_status=success,gateway=gw,location=Plant-A,"
            "schema_version=v1 "
            "voltage=230.5,count=3 1770463560000001\n");
}

TEST(LineProtocol, escapes_what_would_end_a_name) {
  const Reading reading{.at = from_unix_us(1),
                        .fields = {{"a b,c=d", 1.0}, {"text", std::string("say \"hi\"\\")}, {"on", true}}};
  const storage::DeviceVersion device{"D 1,x=\ny", "", "", "v1", ""};
  EXPECT_EQ(to_lines(Batch({reading}, device), {.non_numeric = true}),
            "device_telemetry,device_id=D\\ 1\\,x\\=\\ y,schema_version=v1 a\\ b\\,c\\=d=1,text=\"say "
            "\\\"hi\\\"\\\\\",on=true 1\n");
}

TEST(LineProtocol, leaves_out_what_has_no_number) {
  const Reading reading{.at = from_unix_us(1), .fields = {{"x", NAN}, {"s", std::string("t")}, {"b", true}}};
  const storage::DeviceVersion device{"D1", "", "", "", ""};
  EXPECT_EQ(to_lines(Batch({reading}, device), {}), "");
}

TEST(RemoteWrite, gathers_the_samples_of_a_series_in_order) {
  const storage::DeviceVersion device{"D1", "bulb", "Plant-A", "v1", ""};
  const std::vector<Reading> readings{
      {.device_id = "D1", .at = from_unix_us(1'000'999), .fields = {{"power", 1.5}, {"a b", std::int64_t{3}}}},
      {.device_id = "D1", .at = from_unix_us(2'000'000), .fields = {{"power", NAN}, {"state", std::string("on")}}},
      {.device_id = "D1", .at = from_unix_us(3'000'000), .fields = {{"power", 2.5}}}};
  prometheus::WriteRequest request;
  ASSERT_TRUE(request.ParseFromString(to_write_request(Batch(readings, device), "gw")));
  ASSERT_EQ(request.timeseries_size(), 2);
  const auto& power = request.timeseries(0);
  std::string labels;
  for (const auto& label : power.labels()) labels += label.name() + "=" + label.value() + " ";
  EXPECT_EQ(
      labels,
      "__name__=device_telemetry_power device_id=D1 device_type=bulb gateway=gw location=Plant-A schema_version=v1 ");
  ASSERT_EQ(power.samples_size(), 2) << "NaN would be a marker of staleness";
  EXPECT_EQ(power.samples(0).timestamp(), 1000);
  EXPECT_EQ(power.samples(0).value(), 1.5);
  EXPECT_EQ(power.samples(1).timestamp(), 3000);
  const auto& renamed = request.timeseries(1);
  EXPECT_EQ(renamed.labels(0).value(), "device_telemetry_a_b");
  EXPECT_EQ(renamed.labels(3).value(), "a b") << "so that it is not taken for a_b";
  EXPECT_EQ(to_write_request(Batch({{.device_id = "D1", .fields = {{"s", std::string("x")}}}}, device), "gw"), "");
}

TEST(Documents, carry_the_key_the_record_and_every_field) {
  const Reading reading{.device_id = "D1",
                        .at = from_unix_us(1'770'463'560'000'001),
                        .quality = Quality::estimated,
                        .fields = {{"power", 230.5}, {"n", NAN}, {"text", std::string("say \"hi\"")}, {"on", true}}};
  const storage::DeviceVersion device{"D1", "bulb", "", "v1", ""};
  EXPECT_EQ(document_of(Batch({reading}, device).outgoing[0], "gw"),
            R"({"gateway":"gw","device_id":"D1","device_type":"bulb","schema_version":"v1",)"
            R"("timestamp":"2026-02-07T11:26:00.000001Z","quality":)" +
                std::to_string(static_cast<unsigned>(Quality::estimated)) +
                R"(,"fields":{"power":230.5,"n":null,"text":"say \"hi\"","on":true}})");
}

}  // namespace
}  // namespace wattd::sync
