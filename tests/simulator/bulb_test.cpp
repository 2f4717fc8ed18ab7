#include "simulator/bulb.h"

#include <gtest/gtest.h>

#include "drivers/mqtt/payload.h"
#include "telemetry/schema.h"

namespace wattd::simulator {
namespace {

const Timestamp kNoon = from_unix_us(1'770'465'600'000'000);

TEST(Bulb, says_the_same_for_the_same_seed) {
  Bulb a("D1", 7, {{Fault::overheat, .3}});
  Bulb b("D1", 7, {{Fault::overheat, .3}});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.next(kNoon).payload, b.next(kNoon).payload);
  EXPECT_NE(Bulb("D1", 8, {}).next(kNoon).payload, Bulb("D1", 7, {}).next(kNoon).payload);
}

TEST(Bulb, always_keeps_to_its_own_schema) {
  Bulb bulb("D1", 1,
            {{Fault::overheat, .1}, {Fault::voltage_spike, .1}, {Fault::current_surge, .1}, {Fault::stuck, .1}});
  drivers::mqtt::PayloadDecoder decoder;
  for (int i = 0; i < 2000; ++i) {
    const auto decoded = decoder.decode(bulb.next(kNoon + std::chrono::seconds{i * 43}).payload);
    ASSERT_TRUE(decoded);
    const auto valid = validate(decoded->reading, bulb_schema());
    ASSERT_TRUE(valid) << valid.error().message;
  }
}

TEST(Bulb, does_what_the_script_forces) {
  Bulb bulb("D1", 1, {});
  drivers::mqtt::PayloadDecoder decoder;
  const auto hot = decoder.decode(bulb.next(kNoon, Fault::overheat).payload);
  EXPECT_GE(std::get<double>(hot->reading.find("temperature")->value), 60);
  EXPECT_FALSE(bulb.next(kNoon, Fault::dropout).sent);
  EXPECT_FALSE(decoder.decode(bulb.next(kNoon, Fault::malformed).payload));
}

}  // namespace
}  // namespace wattd::simulator
