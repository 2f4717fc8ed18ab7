#include <gtest/gtest.h>

#include <map>

#include "config/table.h"
#include "drivers/mqtt/dialect.h"
#include "sparkplug_b.pb.h"

namespace wattd::drivers::mqtt {
namespace {

enum : std::uint32_t { kInt8 = 1, kInt16, kInt32, kInt64, kUInt8, kUInt16, kUInt32, kUInt64, kFloat, kDouble };

/// A node's messages as the gateway reads them.
struct SparkplugTest : testing::Test {
  TopicReader reader{
      parse_subscriptions(config::parse("[[mqtt]]\npublishers = [\"sparkplug\"]", "t.toml").tables("mqtt").front())};
  sparkplug::Payload payload;
  int seq = 0;

  sparkplug::Metric& add(std::string name, std::optional<std::uint64_t> alias = {}, std::uint32_t type = kDouble) {
    auto& metric = *payload.add_metrics();
    if (!name.empty()) metric.set_name(std::move(name));
    if (alias) metric.set_alias(*alias);
    if (type != 0) metric.set_datatype(type);
    return metric;
  }
  Result<std::vector<Decoded>> say(const std::string& kind, const std::string& device, bool again = false) {
    if (kind == "NBIRTH") seq = 0;
    payload.set_seq(static_cast<std::uint64_t>(seq));
    seq = (seq + 1) % 256;
    if (payload.timestamp() == 0) payload.set_timestamp(1'770'465'600'000);
    const auto topic = "spBv1.0/g/" + kind + "/n" + (device.empty() ? "" : "/" + device);
    auto decoded = reader.decode({.topic = topic, .payload = payload.SerializeAsString()}, again);
    payload.Clear();
    return decoded;
  }
  void bear(std::uint64_t session = 1) {
    add("bdSeq", {}, kUInt64).set_long_value(session);
    ASSERT_TRUE(say("NBIRTH", ""));
    add("power", 1).set_double_value(5);
    add("temp", 2, kInt16).set_int_value(static_cast<std::uint32_t>(-3));
    ASSERT_TRUE(say("DBIRTH", "d"));
  }
  Result<std::vector<Decoded>> power(double value) {
    add("", 1, 0).set_double_value(value);
    return say("DDATA", "d");
  }
};

TEST_F(SparkplugTest, reads_names_types_and_stamps_from_the_birth) {
  bear();
  add("", 1, 0).set_double_value(7.5);
  add("", 2, 0).set_int_value(static_cast<std::uint32_t>(-12));
  const auto decoded = say("DDATA", "d");
  ASSERT_TRUE(decoded) << decoded.error().message;
  ASSERT_EQ(decoded->size(), 1u);
  const auto& reading = decoded->front().reading;
  EXPECT_EQ(reading.device_id, "g.n.d");
  EXPECT_EQ(format_iso8601(reading.at), "2026-02-07T12:00:00Z");
  EXPECT_EQ(reading.find("power")->value, Value(7.5));
  EXPECT_EQ(reading.find("temp")->value, Value(std::int64_t{-12}));
}

TEST_F(SparkplugTest, makes_a_reading_of_each_stamp) {
  bear();
  for (const int second : {0, 1}) {
    auto& metric = add("", 1, 0);
    metric.set_double_value(second);
    metric.set_timestamp(1'770'465'600'000 + static_cast<std::uint64_t>(second) * 1000);
    metric.set_is_historical(true);
  }
  const auto decoded = say("DDATA", "d");
  ASSERT_TRUE(decoded);
  ASSERT_EQ(decoded->size(), 2u);
  EXPECT_EQ((*decoded)[1].reading.at - (*decoded)[0].reading.at, std::chrono::seconds{1});
}

TEST_F(SparkplugTest, absent_and_stale_metrics_make_no_field) {
  bear();
  add("", 1, 0).set_is_null(true);
  auto& stale = add("", 2, 0);
  stale.set_int_value(4);
  stale.mutable_properties()->add_keys("Quality");
  stale.mutable_properties()->add_values()->set_int_value(500);
  const auto decoded = say("DDATA", "d");
  ASSERT_TRUE(decoded);
  EXPECT_TRUE(decoded->empty());
}

TEST_F(SparkplugTest, an_alias_without_a_birth_is_refused_and_the_node_asked_once) {
  const auto first = power(1);
  ASSERT_FALSE(first);
  EXPECT_EQ(
      first.error().message,
      "alias 1 means nothing: the birth of g/n was missed, it was asked to be born again; replay this when it was");
  EXPECT_FALSE(power(2));
  const auto commands = reader.take_commands();
  ASSERT_EQ(commands.size(), 1u);
  EXPECT_EQ(commands[0].topic, "spBv1.0/g/NCMD/n");
  sparkplug::Payload command;
  ASSERT_TRUE(command.ParseFromString(commands[0].payload));
  EXPECT_EQ(command.metrics(0).name(), "Node Control/Rebirth");
  EXPECT_TRUE(command.metrics(0).boolean_value());
}

TEST_F(SparkplugTest, a_missing_message_may_have_been_a_birth_so_aliases_mean_nothing_after_it) {
  bear();
  EXPECT_TRUE(power(1));
  ++seq;
  EXPECT_FALSE(power(2));
  EXPECT_EQ(reader.take_commands().size(), 1u);
  add("power").set_double_value(3);
  EXPECT_TRUE(say("DDATA", "d")) << "what carries its name needs no birth";
  EXPECT_FALSE(power(4)) << "the sequence goes on, and still nobody knows";
  bear();
  EXPECT_TRUE(power(5));
}

TEST_F(SparkplugTest, the_sequence_goes_round_at_256) {
  bear();
  for (int i = 0; i < 600; ++i) ASSERT_TRUE(power(i)) << i;
}

TEST_F(SparkplugTest, what_is_replayed_is_out_of_the_sequence) {
  bear();
  add("", 1, 0).set_double_value(9);
  const auto before = seq;
  EXPECT_TRUE(say("DDATA", "d", true));
  seq = before;
  EXPECT_TRUE(power(10));
}

TEST_F(SparkplugTest, the_late_will_of_an_earlier_session_takes_nothing_from_this_one) {
  bear(2);
  add("bdSeq", {}, kUInt64).set_long_value(1);
  EXPECT_TRUE(say("NDEATH", ""));
  --seq;
  EXPECT_TRUE(power(1));
  add("bdSeq", {}, kUInt64).set_long_value(2);
  EXPECT_TRUE(say("NDEATH", ""));
  EXPECT_FALSE(power(2));
}

TEST_F(SparkplugTest, a_number_whose_sign_nobody_knows_is_refused) {
  add("temp", {}, 0).set_int_value(0xFFFF'FFF4);
  const auto decoded = say("DDATA", "d");
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().message, "temp has no data type, and no birth has said which");
}

TEST_F(SparkplugTest, a_packed_payload_is_refused_and_not_taken_for_an_empty_one) {
  bear();
  payload.set_uuid("SPBV1.0_COMPRESSED");
  payload.set_body("\x1f\x8b");
  const auto decoded = say("DDATA", "d");
  ASSERT_FALSE(decoded);
  EXPECT_NE(decoded.error().message.find("SPBV1.0_COMPRESSED"), std::string::npos) << decoded.error().message;
}

TEST_F(SparkplugTest, what_is_no_payload_is_refused) {
  const auto decoded = reader.decode({.topic = "spBv1.0/g/DDATA/n/d", .payload = "{\"power\": 1}"});
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().message, "the payload is no Sparkplug B payload");
}

}  // namespace
}  // namespace wattd::drivers::mqtt
