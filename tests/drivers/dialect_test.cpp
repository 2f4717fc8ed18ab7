#include "drivers/mqtt/dialect.h"

#include <gtest/gtest.h>

#include <cmath>

#include <map>
#include <set>

#include "config/table.h"
#include "telemetry/measurand.h"

namespace wattd::drivers::mqtt {
namespace {

std::vector<Subscription> subscribe(const std::string& toml) {
  const auto root = config::parse("[[mqtt]]\n" + toml, "test.toml");
  auto all = parse_subscriptions(root.tables("mqtt").front());
  return all;
}

/// What a publisher's message is read as: "device field=value …".
struct DialectTest : testing::Test {
  std::vector<Decoded> read(const std::string& publisher, const std::string& topic, const std::string& payload) {
    TopicReader reader(subscribe("publishers = [\"" + publisher + "\"]"));
    const auto decoded = reader.decode({.topic = topic, .payload = payload});
    EXPECT_TRUE(decoded) << decoded.error().message;
    return decoded ? *decoded : std::vector<Decoded>{};
  }
  /// The fields of the one reading, by name; every number under a known measurand unless `others` holds it.
  std::map<std::string, double> numbers(const std::string& publisher, const std::string& topic,
                                        const std::string& payload, const std::set<std::string>& others = {}) {
    const auto decoded = read(publisher, topic, payload);
    EXPECT_EQ(decoded.size(), 1u);
    std::map<std::string, double> found;
    if (decoded.empty()) return found;
    device = decoded[0].reading.device_id;
    stamped = decoded[0].has_stamp;
    at = decoded[0].reading.at;
    for (const auto& field : decoded[0].reading.fields) {
      if (const auto number = as_number(field.value)) found[field.name] = *number;
      EXPECT_TRUE(find_measurand(field.name) || others.contains(field.name)) << field.name;
    }
    return found;
  }
  using Numbers = std::map<std::string, double>;

  std::string device;
  bool stamped = false;
  Timestamp at{};
};

// Examples as the makers' pages show them.

TEST_F(DialectTest, reads_a_tasmota_plug) {
  EXPECT_EQ(numbers("tasmota", "tele/plug1/SENSOR",
                    R"({"Time":"2026-02-07T12:00:00","ENERGY":{"TotalStartTime":"2025-01-01T00:00:00","Total":3.185,)"
                    R"("Yesterday":3.058,"Today":0.127,"Period":5,"Power":33,"ApparentPower":50,"ReactivePower":38,)"
                    R"("Factor":0.66,"Voltage":230,"Current":0.219}})"),
            (Numbers{{"energy_import_total", 3.185},
                     {"power_total", 33},
                     {"power_apparent_total", 50},
                     {"power_reactive_total", 38},
                     {"power_factor_total", .66},
                     {"voltage_l1_n", 230},
                     {"current_l1", .219}}));
  EXPECT_EQ(device, "plug1");
  EXPECT_FALSE(stamped) << "its time has no zone";
}

TEST_F(DialectTest, reads_a_tasmota_meter_of_three_phases_and_its_other_sensors) {
  EXPECT_EQ(numbers("tasmota", "tele/meter/SENSOR",
                    R"({"Time":"2026-02-07T12:00:00","ENERGY":{"Total":[10.5,null,3.25],"ImportActive":9.5,)"
                    R"("ExportActive":4.25,"Power":[100,-20,30],"Voltage":[230,231,229],"Frequency":50}, )"
                    R"("DS18B20":{"Id":"01131","Temperature":21.5},"TempUnit":"C"})",
                    {"DS18B20.Temperature", "DS18B20.Id"}),
            (Numbers{{"energy_sum_l1", 10.5},
                     {"energy_sum_l3", 3.25},
                     {"energy_import_total", 9.5},
                     {"energy_export_total", 4.25},
                     {"power_l1", 100},
                     {"power_l2", -20},
                     {"power_l3", 30},
                     {"voltage_l1_n", 230},
                     {"voltage_l2_n", 231},
                     {"voltage_l3_n", 229},
                     {"frequency", 50},
                     {"DS18B20.Temperature", 21.5}}));
  EXPECT_TRUE(read("tasmota", "tele/meter/SENSOR", R"({"Time":"2026-02-07T12:00:00"})").empty());
}

TEST_F(DialectTest, reads_shellies_of_the_first_generation) {
  EXPECT_EQ(numbers("shelly-gen1", "shellies/shellyem3-A1/emeter/1/power", "123.45"), (Numbers{{"power_l2", 123.45}}));
  EXPECT_EQ(numbers("shelly-gen1", "shellies/shellyem3-A1/emeter/2/total", "12345.6"),
            (Numbers{{"energy_import_l3", 12345.6 * .001}}));
  EXPECT_EQ(numbers("shelly-gen1", "shellies/shellyem-B2/emeter/0/power", "-5"), (Numbers{{"power_total_ch1", -5}}));
  EXPECT_EQ(numbers("shelly-gen1", "shellies/shellyplug-s-C3/relay/0/power", "40.1"), (Numbers{{"power_total", 40.1}}));
  const auto energy = numbers("shelly-gen1", "shellies/shellyplug-s-C3/relay/0/energy", "60000");
  EXPECT_NEAR(energy.at("energy_import_total"), 1, 1e-12) << "watt-minutes";
  EXPECT_EQ(device, "shellyplug-s-C3");
  EXPECT_TRUE(read("shelly-gen1", "shellies/shellyem3-A1/emeter/0/energy", "7").empty()) << "since the last message";
  EXPECT_TRUE(read("shelly-gen1", "shellies/shellyplug-s-C3/relay/0/command", "on").empty());
}

TEST_F(DialectTest, reads_shellies_of_the_second_generation) {
  EXPECT_EQ(numbers("shelly", "shellypro3em-1/events/rpc",
                    R"({"src":"shellypro3em-1","dst":"x/events","method":"NotifyStatus","params":{"ts":1770465600.25,)"
                    R"("em:0":{"id":0,"a_act_power":100.5,"a_voltage":230.1,"a_current":0.5,"a_pf":0.9,"a_freq":50,)"
                    R"("b_act_power":-10,"b_freq":50,"total_act_power":90.5,"n_current":null}}})"),
            (Numbers{{"power_l1", 100.5},
                     {"voltage_l1_n", 230.1},
                     {"current_l1", .5},
                     {"power_factor_l1", .9},
                     {"frequency", 50},
                     {"power_l2", -10},
                     {"power_total", 90.5}}));
  EXPECT_TRUE(stamped);
  EXPECT_EQ(at, from_unix_us(1'770'465'600'250'000));
  EXPECT_EQ(numbers("shelly", "s/events/rpc",
                    R"({"method":"NotifyStatus","params":{"ts":12.5,"emdata:0":{"id":0,"a_total_act_energy":1500,)"
                    R"("total_act":4500,"total_act_ret":250}}})"),
            (Numbers{{"energy_import_l1", 1.5}, {"energy_import_total", 4.5}, {"energy_export_total", .25}}));
  EXPECT_FALSE(stamped) << "nobody has told it the time";
  EXPECT_EQ(numbers("shelly-status", "plug/status/switch:0",
                    R"({"id":0,"output":true,"apower":60.5,"voltage":231,"current":0.3,"aenergy":{"total":12500,)"
                    R"("by_minute":[1,2,3]},"temperature":{"tC":41.5,"tF":106.7}})",
                    {"output"}),
            (Numbers{{"power_total", 60.5},
                     {"voltage_l1_n", 231},
                     {"current_l1", .3},
                     {"energy_import_total", 12.5},
                     {"temperature_internal", 41.5}}));
  EXPECT_EQ(numbers("shelly-status", "em/status/em1:1", R"({"id":1,"act_power":5,"freq":50})"),
            (Numbers{{"power_total_ch2", 5}, {"frequency_ch2", 50}}));
  EXPECT_TRUE(read("shelly", "s/events/rpc", R"({"method":"NotifyEvent","params":{"ts":1.5,"events":[]}})").empty());
  EXPECT_TRUE(read("shelly-status", "s/status/wifi", R"({"rssi":-50})").empty());
}

TEST_F(DialectTest, reads_zigbee2mqtt) {
  EXPECT_EQ(
      numbers("zigbee2mqtt", "zigbee2mqtt/hall/plug 1",
              R"({"current":0.5,"energy":12.25,"linkquality":120,"power":110,"voltage":229,"update":{"state":"idle"}})",
              {"linkquality"}),
      (Numbers{{"current_l1", .5},
               {"energy_import_total", 12.25},
               {"linkquality", 120},
               {"power_total", 110},
               {"voltage_l1_n", 229}}));
  EXPECT_EQ(device, "hall-plug 1-672c");
  EXPECT_EQ(
      numbers("zigbee2mqtt", "zigbee2mqtt/door", R"({"battery":97,"voltage":3005})", {"battery", "battery_voltage_mv"}),
      (Numbers{{"battery", 97}, {"battery_voltage_mv", 3005}}));
  EXPECT_EQ(numbers("zigbee2mqtt", "zigbee2mqtt/em", R"({"power":1,"power_phase_b":2,"power_phase_c":3})"),
            (Numbers{{"power_l1", 1}, {"power_l2", 2}, {"power_l3", 3}}));
  EXPECT_EQ(numbers("zigbee2mqtt", "zigbee2mqtt/pc321",
                    R"({"current":1.5,"current_l1":0.5,"current_l2":1,"power":100,"voltage_a":230,"timestamp":5})",
                    {"timestamp_as_said"}),
            (Numbers{{"current_sum", 1.5},
                     {"current_l1", .5},
                     {"current_l2", 1},
                     {"power_total", 100},
                     {"voltage_l1_n", 230},
                     {"timestamp_as_said", 5}}));
  EXPECT_EQ(numbers("zigbee2mqtt", "zigbee2mqtt/mains", R"({"voltage":230})"), (Numbers{{"voltage_l1_n", 230}}));
  for (const auto* topic :
       {"zigbee2mqtt/lamp/set/state", "zigbee2mqtt/bridge/state", "zigbee2mqtt/em/availability", "zigbee2mqtt/em/set"})
    EXPECT_TRUE(read("zigbee2mqtt", topic, "online").empty()) << topic;
}

TEST_F(DialectTest, reads_wiren_board_and_openwb) {
  EXPECT_EQ(numbers("wirenboard", "/devices/wb-map12e_35/controls/Ch 2 P L3", "12.5"),
            (Numbers{{"power_l3_ch2", 12.5}}));
  EXPECT_EQ(device, "wb-map12e_35");
  EXPECT_EQ(numbers("wirenboard", "/devices/wb-map3e_1/controls/Total AP energy", "7.125"),
            (Numbers{{"energy_import_total", 7.125}}));
  EXPECT_EQ(numbers("wirenboard", "/devices/wb-msw/controls/Humidity", "40", {"Humidity"}),
            (Numbers{{"Humidity", 40}}));
  EXPECT_EQ(numbers("openwb", "openWB/counter/0/get/imported", "1500"), (Numbers{{"energy_import_total", 1.5}}));
  EXPECT_EQ(numbers("openwb", "openWB/mqtt/counter/0/get/currents", "[1.5, 2, -3]"),
            (Numbers{{"current_l1", 1.5}, {"current_l2", 2}, {"current_l3", -3}}));
  EXPECT_EQ(device, "openwb-counter-0");
  EXPECT_EQ(numbers("openwb", "openWB/pv/1/get/power", "-4200"), (Numbers{{"pv_power", 4200}}));
  EXPECT_TRUE(read("openwb", "openWB/counter/0/get/fault_str", "\"none\"").empty());
}

TEST_F(DialectTest, reads_what_a_configuration_maps) {
  TopicReader reader(subscribe(R"(
mappings = [
  { topic = "plant/{line}/em/{channel}", device = "{line}", timestamp = "/t", fields = [
    { pointer = "/p/0", name = "power_total_{channel}", scale = 1000 },
    { pointer = "/missing", name = "frequency" },
    { pointer = "/s", name = "state" } ] },
  { topic = "plain/{device}", fields = [ { name = "temperature_ambient", scale = 0.1, offset = -40 } ] } ]
)"));
  auto decoded = reader.decode({.topic = "plant/press/em/ch2", .payload = R"({"t":1770465600,"p":[1.5],"s":"run"})"});
  ASSERT_TRUE(decoded) << decoded.error().message;
  const auto& reading = decoded->at(0).reading;
  EXPECT_EQ(reading.device_id, "press");
  EXPECT_EQ(reading.at, from_unix_us(1'770'465'600'000'000));
  EXPECT_EQ(reading.fields, (std::vector<Field>{{"power_total_ch2", 1500.}, {"state", std::string("run")}}));
  decoded = reader.decode({.topic = "plain/oven", .payload = "625"});
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->at(0).reading.fields, (std::vector<Field>{{"temperature_ambient", 22.5}}));
  EXPECT_EQ(reader.device_in({.topic = "plain/oven"}), "oven");
  EXPECT_FALSE(reader.decode({.topic = "plain/oven", .payload = "hot"}));
  decoded = reader.decode({.topic = "plant/press/em/ch2", .payload = R"({"p":["1.5"]})"});
  ASSERT_TRUE(decoded) << "numbers in quotes are numbers";
  EXPECT_EQ(decoded->at(0).reading.fields, (std::vector<Field>{{"power_total_ch2", 1500.}}));
  EXPECT_FALSE(reader.decode({.topic = "plant/press/em/ch2", .payload = R"({"p":[true]})"}));
  const auto none = reader.decode({.topic = "plant/press/em/ch2", .payload = "{}"});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message, "none of the mapped values is there; the first is expected at /p/0");
}

TEST_F(DialectTest, refuses_what_is_no_number) {
  TopicReader reader(subscribe("publishers = [\"shelly-gen1\", \"openwb\", \"wirenboard\"]"));
  for (const auto& [topic, payload] :
       std::vector<std::pair<std::string, std::string>>{{"shellies/shellyem3-A1/emeter/1/power", "nan"},
                                                        {"shellies/shellyem3-A1/emeter/1/voltage", "inf"},
                                                        {"openWB/counter/0/get/currents", "5"},
                                                        {"openWB/counter/0/get/power", "[1,2,3]"},
                                                        {"/devices/wb/controls/Total AP energy", "nan"},
                                                        {"/devices/wb/controls/Urms L1", "error"},
                                                        {"/devices/wb/controls/State", "\xff\xfe"}})
    EXPECT_FALSE(reader.decode({.topic = topic, .payload = payload})) << topic;
}

TEST(Subscriptions, hold_for_their_own_connection) {
  auto all = subscribe("topics = [\"+/status/+\"]");
  all.front().source = "a";
  auto other = subscribe("publishers = [\"shelly-status\"]");
  other.front().source = "b";
  all.push_back(other.front());
  TopicReader reader(std::move(all));
  const auto plug = [&](const std::string& source) {
    return reader.decode({.source = source, .topic = "plug/status/switch:0", .payload = R"({"apower":5})"})
        ->at(0)
        .reading.fields.at(0)
        .name;
  };
  EXPECT_EQ(plug("a"), "apower");
  EXPECT_EQ(plug("b"), "power_total");
}

TEST(Subscriptions, say_what_is_wrong_with_a_mapping) {
  const auto complaint = [](const std::string& toml) {
    try {
      subscribe(toml);
    } catch (const config::ConfigError& problem) {
      return std::string(problem.what());
    }
    return std::string("nothing");
  };
  for (
      const auto& [toml, expected] : std::vector<std::pair<std::string, std::string>>{
          {"publishers = [\"sonoff\"]", "expected some of tasmota"},
          {R"(mappings = [{ topic = "a/+/b", fields = [{ name = "x" }] }])", "expected whole levels"},
          {R"(mappings = [{ topic = "a/b", fields = [{ name = "x" }] }])", "is required"},
          {R"(mappings = [{ topic = "a/{device}", fields = [{ name = "x", pointer = "p" }] }])", "JSON pointer"},
          {R"(mappings = [{ topic = "a/{device}", fields = [{ name = "{line}" }] }])", "names of the topic's levels"},
          {R"(mappings = [{ topic = "a/{device}", fields = [{ name = "x", scale = 0 }] }])", "another number than 0"},
          {R"(mappings = [{ topic = "a/{device}" }])", "expected at least one"},
          {R"(mappings = [{ topic = "", device = "d", fields = [{ name = "x" }] }])", "expected a topic"},
          {R"(mappings = [{ topic = "a/{device}", timestamp = "/t", fields = [{ name = "x" }] }])", "by itself"},
          {R"(mappings = [{ topic = "a/{device}", fields = [{ name = "x" }, { name = "y", pointer = "/y" }] }])",
           "by itself"},
          {R"(mappings = [{ topic = "a/{device}", fields = [{ name = "x", pointer = "/x" }, { name = "x", pointer = "/y" }] }])",
           "a name that no other field has"},
          {R"(mappings = [{ topic = "a/{device}", fields = [{ name = "x" }] }, { topic = "a/{device}", fields = [{ name = "y" }] }])",
           "a topic that no other mapping has"},
          {R"(mappings = [{ topic = "a/{device}", fields = [{ name = "x", pointer = "/a~2" }] }])", "JSON pointer"},
          {R"(mappings = [{ topic = "a/{device}", fields = [{ name = "timestamp" }] }])", "another name"},
          {R"(mappings = [{ topic = "a/b", device = " ", fields = [{ name = "x" }] }])", "expected"},
          {"topics = []", "expected at least one topic"},
          {"topics = [\"a/#/b\"]", "is not a topic filter"}})
    EXPECT_NE(complaint(toml).find(expected), std::string::npos) << toml << ": " << complaint(toml);
}

TEST(Subscriptions, are_the_plain_topic_where_nothing_is_said) {
  EXPECT_EQ(subscribe(""), (std::vector<Subscription>{{"devices/+/telemetry"}}));
  EXPECT_TRUE(matches("$share/gateways/a/+", "a/b"));
  TopicReader reader({{"$share/g/devices/+/telemetry"}});
  EXPECT_EQ(reader.device_in({.topic = "devices/D1/telemetry"}), "D1");
}

}  // namespace
}  // namespace wattd::drivers::mqtt
