#include "drivers/gpio/gpio.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <deque>

#include "config/table.h"

namespace wattd::drivers::gpio {
namespace {

using namespace std::chrono_literals;

/// A chip whose lines a test moves.
class FakeLines final : public Lines {
 public:
  explicit FakeLines(FakeClock& clock) : clock_(clock) {}
  Result<void> open() override {
    if (broken) return fail(ErrorKind::retry, "GPIO chip test cannot be opened: no such device");
    return {};
  }
  Result<bool> value(std::size_t line) override { return states[line]; }
  Result<std::vector<Edge>> wait(Instant until) override {
    if (broken) return fail(ErrorKind::retry, "GPIO chip test cannot be read: no such device");
    if (edges.empty() && until > clock_.monotonic())
      clock_.advance(std::chrono::ceil<std::chrono::microseconds>(until - clock_.monotonic()));
    return std::exchange(edges, {});
  }
  Result<void> set(std::size_t line, bool active) override {
    states[line] = active;
    return {};
  }
  /// An edge now.
  void move(std::size_t line, bool active) {
    states[line] = active;
    edges.push_back({line, active, clock_.monotonic()});
  }

  std::map<std::size_t, bool> states;
  std::vector<Edge> edges;
  bool broken = false;

 private:
  FakeClock& clock_;
};

class FakeIntake final : public Intake {
 public:
  bool has_room() const override { return true; }
  Ticket put(std::vector<Message>) override { return 0; }
  Ticket put(Reading reading) override {
    readings.push_back(std::move(reading));
    return 0;
  }
  Ticket committed() const override { return 0; }
  bool commit_through(Ticket, std::chrono::milliseconds) override { return true; }
  void expect_commit() override { ++expected; }

  std::vector<Reading> readings;
  int expected = 0;
};

struct GpioTest : testing::Test {
  FakeClock clock;
  FakeIntake intake;
  std::shared_ptr<Totals> totals = std::make_shared<Totals>();
  FakeLines* lines = nullptr;
  std::unique_ptr<Gpio> gpio;

  void start(const std::string& rows) {
    const auto root = config::parse("[[gpio]]\nchip = \"test\"\n" + rows, "t.toml");
    auto fake = std::make_unique<FakeLines>(clock);
    lines = fake.get();
    gpio = std::make_unique<Gpio>(parse_chip(root.tables("gpio").front()), std::move(fake), totals, intake, clock);
    look();
  }
  void start_meter() { start("[[gpio.pulses]]\ndevice = \"S0\"\nline = 17\npulses_per_unit = 1000\nstart = 123.5\n"); }
  void look() { ASSERT_TRUE(gpio->step(clock.monotonic())); }
  /// The line is active for so long, and inactive as long afterwards.
  void pulse(std::chrono::milliseconds length = 50ms) {
    for (const bool active : {true, false}) {
      lines->move(0, active);
      look();
      clock.advance(length);
      look();
    }
  }
  double number(const Reading& reading, std::string_view field) { return *as_number(reading.find(field)->value); }
};

TEST_F(GpioTest, counts_pulses_from_what_the_display_showed) {
  start_meter();
  EXPECT_EQ(number(gpio->take().at(0), "energy_import_total"), 123.5);
  for (int i = 0; i < 3; ++i) pulse();
  EXPECT_GE(intake.expected, 3);
  const auto readings = gpio->take();
  ASSERT_EQ(readings.size(), 1u);
  EXPECT_EQ(readings[0].device_id, "S0");
  EXPECT_EQ(readings[0].find("pulses")->value, Value(std::int64_t{3}));
  EXPECT_EQ(number(readings[0], "energy_import_total"), 123.503);
  EXPECT_TRUE(gpio->take().empty()) << "what was told is not told again";
}

TEST_F(GpioTest, goes_on_from_the_stored_total) {
  totals->begin("S0", 41);
  start_meter();
  pulse();
  EXPECT_EQ(gpio->take().at(0).find("pulses")->value, Value(std::int64_t{42}));
}

TEST_F(GpioTest, a_line_is_what_it_is_after_a_burst_that_the_kernel_cut_short) {
  start("[[gpio.inputs]]\ndevice = \"DOOR\"\nline = 4\n");
  intake.readings.clear();
  for (int i = 0; i < 16; ++i) lines->move(0, i % 2 == 0);
  lines->states[0] = true;  // the edge that said so was dropped
  for (int i = 0; i < 3; ++i) {
    look();
    clock.advance(1s);
  }
  ASSERT_EQ(intake.readings.size(), 1u);
  EXPECT_EQ(intake.readings[0].fields[0].value, Value(true));
}

TEST_F(GpioTest, what_the_line_is_now_cuts_no_pulse_short_whose_end_waits_to_be_read) {
  start_meter();
  const auto began = clock.monotonic();
  lines->move(0, true);
  lines->states[0] = false;  // over already: we were held up, and its end comes with the next look
  look();
  clock.advance(60ms);
  lines->edges.push_back({0, false, began + 25ms});
  look();
  EXPECT_EQ(totals->of("S0"), 1);
  lines->edges.push_back({0, true, clock.monotonic()});
  look();
  const auto spike = clock.monotonic();
  clock.advance(60ms);
  lines->edges.push_back({0, false, spike + 5ms});
  look();
  clock.advance(60ms);
  look();
  EXPECT_EQ(totals->of("S0"), 1) << "a spike is none, however late it is read";
}

TEST_F(GpioTest, power_falls_after_a_start_where_no_pulse_comes) {
  totals->begin("S0", 41);
  start_meter();
  EXPECT_EQ(gpio->take().at(0).find("power_total"), nullptr) << "nobody knows yet";
  clock.advance(60s);
  look();
  const auto readings = gpio->take();
  ASSERT_EQ(readings.size(), 1u);
  EXPECT_NEAR(number(readings[0], "power_total"), 60, .2) << "less than 1 Wh in a minute";
}

TEST_F(GpioTest, what_stands_still_waits_no_longer_than_a_period_after_the_last_pulse) {
  start_meter();
  gpio->take();
  clock.advance(20s);
  pulse();
  gpio->take();
  const auto told = clock.monotonic();
  intake.expected = 0;
  while (intake.expected == 0) {
    clock.advance(500ms);
    look();
  }
  EXPECT_LE(clock.monotonic() - told, 62s);
}

TEST_F(GpioTest, bounces_and_spikes_are_no_pulses) {
  start_meter();
  gpio->take();
  for (int i = 0; i < 5; ++i) {
    lines->move(0, i % 2 == 0);
    look();
    clock.advance(3ms);
  }
  clock.advance(17ms);
  look();
  EXPECT_EQ(totals->of("S0"), 1) << "a contact that bounces closes once";
  pulse(5ms);
  EXPECT_EQ(totals->of("S0"), 1);
}

TEST_F(GpioTest, pulses_that_are_looked_at_late_are_counted_by_their_own_times) {
  start_meter();
  for (int i = 0; i < 8; ++i) {
    lines->move(0, true);
    clock.advance(30ms);
    lines->move(0, false);
    clock.advance(30ms);
  }
  look();
  EXPECT_EQ(totals->of("S0"), 8);
}

TEST_F(GpioTest, power_comes_from_the_distance_of_pulses_and_decays_while_the_next_stays_away) {
  start_meter();
  pulse();
  EXPECT_EQ(gpio->take().at(0).find("power_total"), nullptr) << "one pulse has no distance";
  clock.advance(3500ms);
  pulse();
  EXPECT_EQ(number(gpio->take().at(0), "power_total"), 1000);
  clock.advance(71'950ms);
  look();
  EXPECT_NEAR(number(gpio->take().at(0), "power_total"), 50, .1) << "3.6 MJ / 1000 within 72 s, at most";
}

TEST_F(GpioTest, a_counter_that_stands_still_is_told_of_once_a_period) {
  start_meter();
  gpio->take();
  clock.advance(59s);
  EXPECT_TRUE(gpio->take().empty());
  clock.advance(1s);
  const auto expected = intake.expected;
  look();
  EXPECT_EQ(intake.expected, expected + 1);
  EXPECT_EQ(gpio->take().size(), 1u);
}

TEST_F(GpioTest, a_chip_that_is_gone_says_nothing_and_comes_back) {
  start_meter();
  gpio->take();
  lines->broken = true;
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(gpio->step(clock.monotonic()));
  lines->broken = false;
  look();
  pulse();
  EXPECT_EQ(totals->of("S0"), 1);
}

TEST_F(GpioTest, contacts_are_readings_when_they_change) {
  start("[[gpio.inputs]]\ndevice = \"door\"\nfield = \"open\"\nline = 4\n");
  ASSERT_EQ(intake.readings.size(), 1u) << "how it stands at the start";
  lines->move(0, true);
  look();
  EXPECT_EQ(intake.readings.size(), 1u) << "it may bounce yet";
  clock.advance(20ms);
  look();
  ASSERT_EQ(intake.readings.size(), 2u);
  EXPECT_EQ(intake.readings[1].device_id, "door");
  EXPECT_EQ(intake.readings[1].find("open")->value, Value(true));
}

TEST_F(GpioTest, relays_are_on_while_an_alert_of_their_severity_stands) {
  start("[[gpio.outputs]]\nline = 5\nseverity = \"high\"\n");
  gpio->drive({1, 1, 0, 0}, {});
  EXPECT_FALSE(lines->states[0]);
  gpio->drive({1, 0, 0, 1}, {});
  EXPECT_TRUE(lines->states[0]);
  gpio->drive({1, 0, 0, 0}, {});
  EXPECT_FALSE(lines->states[0]);
}

TEST_F(GpioTest, a_relay_of_a_channel_is_on_while_an_alert_of_its_rules_stands) {
  start("[[gpio.outputs]]\nline = 5\nchannel = \"horn\"\n");
  gpio->drive({0, 0, 0, 7}, {"email"});
  EXPECT_FALSE(lines->states[0]);
  gpio->drive({1, 0, 0, 0}, {"email", "horn"});
  EXPECT_TRUE(lines->states[0]);
  gpio->drive({0, 0, 0, 0}, {});
  EXPECT_FALSE(lines->states[0]);
}

TEST_F(GpioTest, configuration_errors_name_the_place) {
  const auto problem = [](const std::string& rows) -> std::string {
    try {
      parse_chip(config::parse("[[gpio]]\nchip = \"c\"\n" + rows, "t.toml").tables("gpio").front());
    } catch (const config::ConfigError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(problem("").find("expected at least one of [[gpio.pulses]]"), std::string::npos);
  EXPECT_NE(problem("[[gpio.pulses]]\ndevice = \"A\"\nline = 1\npulses_per_unit = 0\n").find("t.toml:6:"),
            std::string::npos);
  EXPECT_NE(problem("[[gpio.pulses]]\ndevice = \"A\"\nline = 1\n[[gpio.inputs]]\ndevice = \"B\"\nline = 1\n")
                .find("expected a line that is not used above"),
            std::string::npos);
  EXPECT_NE(
      problem("[[gpio.pulses]]\ndevice = \"A\"\nline = 1\nmeasurand = \"voltage_l1_n\"\n").find("expected a counter"),
      std::string::npos);
}

RC_GTEST_PROP(Debounce, never_counts_more_changes_than_there_were_and_ends_in_the_state_that_held, ()) {
  Debounce contact(false, 20ms);
  Instant now{1h};
  bool line = false;
  int edges = 0, changes = 0;
  for (int i = 0; i < 50; ++i) {
    now += std::chrono::milliseconds{*rc::gen::inRange(0, 40)};
    changes += contact.settle(now).has_value();
    if (*rc::gen::arbitrary<bool>()) contact.edge(line = !line, now), ++edges;
  }
  changes += contact.settle(now + 20ms).has_value();
  RC_ASSERT(changes <= edges);
  RC_ASSERT(contact.state() == line);
}

}  // namespace
}  // namespace wattd::drivers::gpio
