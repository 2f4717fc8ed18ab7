#include "sync/home_assistant.h"

#include <gtest/gtest.h>

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

struct HomeAssistantTest : testing::Test {
  FakeClock clock;
  HomeAssistantConfig config;
  std::vector<std::pair<std::string, std::string>> said;
  std::unique_ptr<HomeAssistant> home;

  void start() {
    home = std::make_unique<HomeAssistant>(
        config, "12345678-aaaa",
        [](const std::string& device, const std::string& field) {
          return Announced{{.id = device, .name = "Press", .manufacturer = "Eastron", .model = "SDM630"}, field};
        },
        [this](const std::string& topic, const std::string& payload) { said.emplace_back(topic, payload); }, clock);
  }
  void give(std::vector<Field> fields) {
    Reading reading{.device_id = "M1", .at = clock.now(), .received = clock.now(), .fields = std::move(fields)};
    home->offer(std::make_shared<const std::vector<Reading>>(std::vector{std::move(reading)}));
    home->step();
  }
  /// The values that were said, without announcements.
  std::vector<std::string> values() const {
    std::vector<std::string> found;
    for (const auto& [topic, payload] : said) {
      if (topic.starts_with("wattd/")) found.push_back(payload);
    }
    return found;
  }
};

TEST_F(HomeAssistantTest, announces_a_series_before_its_first_value) {
  start();
  give({{"power_total", 1500.5}});
  ASSERT_EQ(said.size(), 2u);
  EXPECT_EQ(said[0].first, "homeassistant/sensor/wattd_12345678_M1_power_total/config");
  EXPECT_EQ(
      said[0].second,
      R"({"name":"power_total","unique_id":"wattd_12345678_M1_power_total",)"
      R"("state_topic":"wattd/12345678/M1/power_total","availability_topic":"wattd/12345678/status",)"
      R"("device_class":"power","unit_of_measurement":"W","state_class":"measurement",)"
      R"("device":{"identifiers":["wattd_12345678_M1"],"name":"Press","manufacturer":"Eastron","model":"SDM630"}})");
  EXPECT_EQ(said[1], (std::pair<std::string, std::string>("wattd/12345678/M1/power_total", "1500.5")));
}

TEST_F(HomeAssistantTest, energy_is_told_of_by_the_adjusted_counter_alone) {
  start();
  give({{"energy_import_total", 7.0}, {"energy_import_total_adjusted", 107.0}});
  ASSERT_EQ(said.size(), 2u);
  EXPECT_NE(said[0].second.find(R"("name":"energy_import_total")"), std::string::npos);
  EXPECT_NE(
      said[0].second.find(R"("device_class":"energy","unit_of_measurement":"kWh","state_class":"total_increasing")"),
      std::string::npos);
  EXPECT_EQ(said[1].second, "107");
}

TEST_F(HomeAssistantTest, a_power_factor_has_no_unit_and_a_flag_is_a_binary_sensor) {
  start();
  give({{"power_factor_total", .9}, {"door", true}});
  EXPECT_EQ(said[0].second.find("unit_of_measurement"), std::string::npos);
  EXPECT_EQ(said[2].first, "homeassistant/binary_sensor/wattd_12345678_M1_door/config");
  EXPECT_EQ(said[3].second, "ON");
}

TEST_F(HomeAssistantTest, on_change_says_what_changed_and_everything_once_a_heartbeat) {
  config.on_change = true;
  config.heartbeat = 60s;
  start();
  give({{"power_total", 1.0}, {"voltage_l1_n", 230.0}});
  clock.advance(1s);
  give({{"power_total", 1.0}, {"voltage_l1_n", 231.0}});
  EXPECT_EQ(values(), (std::vector<std::string>{"1", "230", "231"}));
  clock.advance(59s);
  give({{"power_total", 1.0}, {"voltage_l1_n", 231.0}});
  EXPECT_EQ(values(), (std::vector<std::string>{"1", "230", "231", "1"}));
}

TEST_F(HomeAssistantTest, a_new_connection_is_told_everything_again) {
  start();
  give({{"power_total", 1.0}});
  home->connected();
  said.clear();
  give({{"power_total", 1.0}});
  EXPECT_EQ(said.size(), 2u);
}

TEST_F(HomeAssistantTest, names_that_topics_cannot_hold_are_written_out) {
  start();
  give({{"Ch 1/P", 1.0}});
  EXPECT_EQ(said[1].first, "wattd/12345678/M1/Ch_201_2fP");
}

}  // namespace
}  // namespace wattd::sync
