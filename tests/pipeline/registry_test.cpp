#include "pipeline/registry.h"

#include <gtest/gtest.h>

#include "config/counter.h"

namespace wattd::pipeline {
namespace {

const Timestamp kNoon = from_unix_us(1'770'465'600'000'000);

RegistryConfig parsed(std::string_view text) { return parse_registry(config::parse(text, "wattd.toml")); }

std::string complaint(std::string_view text) {
  try {
    (void)parsed(text);
  } catch (const config::ConfigError& error) {
    return error.what();
  }
  return "nothing";
}

constexpr auto kMeter = R"(
[schemas.meter.fields.energy_import_total]
modulus = 100000
resolution = 0.1
[[devices]]
id = "MAIN"
type = "meter"
max_power = 69000
  [[devices.counters]]
  field = "energy_import_total"
  modulus = 1000000
[[devices]]
id = "SUB"
type = "meter"
)";

TEST(Registry, tells_a_counters_rules_by_type_and_by_device) {
  const Registry registry(parsed(kMeter), {}, kNoon);
  const CounterRules main{.modulus = 1'000'000, .most_an_hour = 69, .resolution = .1};
  EXPECT_EQ(registry.facts_of("MAIN", "energy_import_total")->counter, main);
  EXPECT_EQ(registry.facts_of("SUB", "energy_import_total")->counter,
            (CounterRules{.modulus = 100'000, .resolution = .1}));
  EXPECT_EQ(registry.facts_of("MAIN", "energy_export_total")->counter, (CounterRules{.most_an_hour = 69}));
  EXPECT_EQ(registry.facts_of("MAIN", "power_total")->counter, CounterRules{});
  EXPECT_EQ(registry.facts_of("MAIN", "operating_hours")->counter, CounterRules{}) << "hours are no energy";
  EXPECT_EQ(registry.facts_of("unknown", "power_total"), SeriesFacts{});
}

TEST(Registry, says_nothing_of_a_device_that_left_the_configuration) {
  Registry registry(parsed(kMeter), {}, kNoon);
  registry.configure(parsed("[[devices]]\nid = \"SUB\"\ntype = \"meter\"\n"), kNoon);
  EXPECT_EQ(registry.facts_of("MAIN", "energy_import_total"), std::nullopt);
  EXPECT_TRUE(registry.facts_of("SUB", "energy_import_total"));
}

TEST(Registry, names_the_place_of_a_counters_mistake) {
  const std::string head = "[[devices]]\nid = \"MAIN\"\n";
  EXPECT_EQ(complaint(head + "max_power = 0\n"),
            "wattd.toml:3:13: devices[0].max_power is 0; expected the most that the fuse lets through, in W");
  EXPECT_NE(complaint(head + "[[devices.counters]]\nfield = \"e\"\nmodulus = -1\n").find("wattd.toml:5:11"),
            std::string::npos);
  EXPECT_NE(complaint(head + "[[devices.counters]]\nfield = \"e\"\nmodulus = 10\nresolution = 10\n").find("less than"),
            std::string::npos);
  EXPECT_NE(complaint(head + "[[devices.counters]]\nmodulus = 10\n").find("field"), std::string::npos);
  EXPECT_NE(complaint(head + "[[devices.counters]]\nfield = \"\"\nmodulus = 10\n").find("one of the device's"),
            std::string::npos);
  EXPECT_NE(complaint(head + "[[devices.counters]]\nfield = \"power_total\"\nmodulus = 10\n").find("does not count"),
            std::string::npos);
  EXPECT_NE(complaint(head + "[[devices.counters]]\nfield = \"e\"\n").find("at least one of"), std::string::npos);
  const std::string twice = "[[devices.counters]]\nfield = \"e\"\nmodulus = 10\n";
  EXPECT_NE(complaint(head + twice + twice).find("has a table already"), std::string::npos);
  EXPECT_NE(complaint(head + "[[devices.counters]]\nfield = \"e\"\nmoduls = 10\n").find("moduls"), std::string::npos);
}

TEST(Registry, gives_a_new_version_only_when_what_is_sent_changes) {
  const FakeClock clock;
  RegistryConfig config{.devices = {{.id = "D1", .name = "a", .type = "bulb", .location = "A"}}};
  Registry registry(config, {}, clock.now());
  EXPECT_EQ(registry.take_changes().at(0).version, 1u);
  registry.configure(config, clock.now());
  EXPECT_TRUE(registry.take_changes().empty());
  config.devices[0].name = "b";
  registry.configure(config, clock.now());
  EXPECT_EQ(registry.take_changes().at(0).version, 1u);
  config.devices[0].location = "B";
  registry.configure(config, clock.now());
  EXPECT_EQ(registry.take_changes().at(0).version, 2u);
  EXPECT_TRUE(registry.admit("D1"));
}

TEST(Registry, makes_a_device_that_left_the_file_inactive) {
  const FakeClock clock;
  Registry registry({.devices = {{.id = "D1", .name = "a", .origin = "f:1"}}}, {}, clock.now());
  registry.take_changes();
  registry.configure({}, clock.now());
  const auto changed = registry.take_changes();
  ASSERT_EQ(changed.size(), 1u);
  EXPECT_EQ(changed[0].status, DeviceStatus::inactive);
  EXPECT_FALSE(changed[0].deleted_at);
}

TEST(ParseRegistry, refuses_a_meter_tree_that_is_none) {
  EXPECT_NE(complaint("[[devices]]\nid='a'\nparent='b'\n[[devices]]\nid='b'\nparent='a'\n").find("is above itself"),
            std::string::npos);
  EXPECT_NE(complaint("[[devices]]\nid='a'\nparent='c'\n").find("parent c is not a device"), std::string::npos);
  EXPECT_NE(complaint("[[devices]]\nid='a'\n[[devices]]\nid='a'\n").find("a appears twice"), std::string::npos);
  EXPECT_NE(complaint("[[devices]]\nid='a'\nrole='virtual'\n").find("a virtual meter has a formula"),
            std::string::npos);
}

}  // namespace
}  // namespace wattd::pipeline
