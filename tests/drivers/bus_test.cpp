// A bus with its meters: turns, silences, refusals and what is remembered of them.
#include "drivers/modbus/bus.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <thread>

#include "drivers/modbus/learnt.h"

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

/// A line whose registers hold their own address, with holes that answer exception 2.
class FakeLink final : public Link {
 public:
  Result<std::vector<std::uint16_t>> read(int unit, int, int address, int count) override {
    requests.emplace_back(address, count);
    if (silent.contains(unit) || mute.contains(address) || lose-- > 0) return fail(ErrorKind::retry, "no answer");
    if (failing) return fail(ErrorKind::permanent, "device failure");
    for (int i = address; i < address + count; ++i) {
      if (holes.contains(i)) return fail(ErrorKind::unsupported, "Illegal data address");
    }
    std::vector<std::uint16_t> words;
    for (int i = 0; i < count; ++i) words.push_back(static_cast<std::uint16_t>(address + i));
    return words;
  }
  std::vector<std::pair<int, int>> requests;
  std::set<int> holes;
  std::set<int> silent;
  bool failing = false;
  std::set<int> mute;  ///< Addresses at which requests go unanswered.
  int lose = 0;        ///< So many of the next answers.
  /// For which late answers may still come.
  Instant free_at(const ReadRequest& request) const override {
    return waiting.contains({request.address, request.count}) ? Instant::max() : Instant{};
  }
  std::set<std::pair<int, int>> waiting;
};

class FakeIntake final : public Intake {
 public:
  bool has_room() const override { return room; }
  Ticket put(std::vector<Message>) override { return 0; }
  Ticket put(Reading reading) override {
    readings.push_back(std::move(reading));
    return readings.size();
  }
  Ticket committed() const override { return readings.size(); }
  bool commit_through(Ticket, std::chrono::milliseconds) override { return true; }
  std::vector<Reading> readings;
  bool room = true;
};

struct BusTest : testing::Test {
  BusConfig two_meters() {
    Profile profile{.id = "test", .max_registers = 10, .max_gap = 2};
    for (const auto& [name, address] : {std::pair{"power_l1", 0}, {"power_l2", 1}, {"power_l3", 2}}) {
      profile.registers.push_back({.measurand = name, .address = address});
    }
    return {.id = "bus",
            .meters = {{.device_id = "A", .unit = 1, .profile = profile},
                       {.device_id = "B", .unit = 2, .profile = profile}}};
  }
  FakeClock clock;
  FakeIntake intake;
  FakeLink* link = new FakeLink;
  Bus bus{two_meters(), std::unique_ptr<Link>(link), intake, clock};

  /// Calls step() for as long as something is due.
  void turn() {
    for (int i = 0; i < 100 && bus.step(clock.monotonic()) <= clock.monotonic(); ++i) {
    }
  }
};

TEST_F(BusTest, polls_each_meter_once_a_period) {
  turn();
  ASSERT_EQ(intake.readings.size(), 2u);
  EXPECT_EQ(intake.readings[0].device_id, "A");
  EXPECT_EQ(intake.readings[0].fields.size(), 3u);
  EXPECT_EQ(intake.readings[0].fields[2], (Field{"power_l3", std::int64_t{2}}));
  clock.advance(500ms);
  turn();
  EXPECT_EQ(intake.readings.size(), 2u);
  clock.advance(500ms);
  turn();
  EXPECT_EQ(intake.readings.size(), 4u);
}

TEST_F(BusTest, learns_what_a_meter_refuses_and_asks_again_after_a_day) {
  link->holes = {1};
  for (int second = 0; second < 20; ++second) turn(), clock.advance(1s);
  EXPECT_TRUE(bus.health().meters[0].left_out.empty()) << "a meter that starts may refuse for a while";
  for (int second = 0; second < 60; ++second) turn(), clock.advance(1s);
  link->requests.clear();
  turn();
  EXPECT_EQ(link->requests.size(), 4u) << "two meters, each in two pieces around the hole, and no refusal any more";
  link->holes.clear();
  clock.advance(24h);
  intake.readings.clear();
  turn();
  ASSERT_EQ(intake.readings.size(), 2u);
  EXPECT_EQ(intake.readings[0].fields.size(), 3u);
}

TEST_F(BusTest, learns_nothing_from_a_meter_that_refuses_everything_while_it_starts) {
  link->holes = {0, 1, 2};
  for (int second = 0; second < 60; ++second) turn(), clock.advance(1s);
  EXPECT_TRUE(intake.readings.empty());
  EXPECT_EQ(bus.health().meters[0].last_error, "Illegal data address");
  EXPECT_LE(link->requests.size(), 2u * 5 * 12) << "it is asked as seldom as a silent one";
  link->holes.clear();
  clock.advance(10s);
  turn();
  ASSERT_EQ(intake.readings.size(), 2u);
  EXPECT_EQ(intake.readings[0].fields.size(), 3u);
  EXPECT_TRUE(bus.health().meters[0].left_out.empty());
  EXPECT_EQ(bus.health().meters[0].last_error, "");
}

TEST_F(BusTest, says_so_when_a_meter_is_there_and_will_not_say) {
  link->failing = true;
  turn();
  EXPECT_TRUE(intake.readings.empty());
  EXPECT_EQ(bus.health().meters[0].last_error, "device failure");
  link->failing = false;
  clock.advance(2s);
  turn();
  EXPECT_EQ(bus.health().meters[0].last_error, "");
}

TEST_F(BusTest, forgets_refusals_that_were_accidents) {
  for (int round = 0; round < 5; ++round) {
    link->holes = {1};
    turn(), clock.advance(1s);
    link->holes.clear();
    turn(), clock.advance(1s);
  }
  EXPECT_TRUE(bus.health().meters[0].left_out.empty());
  link->holes = {1};
  for (int second = 0; second < 70; ++second) turn(), clock.advance(1s);
  EXPECT_EQ(bus.health().meters[0].left_out, (std::vector<std::string>{"power_l2"}));
}

TEST_F(BusTest, asks_a_meter_that_comes_back_for_everything) {
  link->holes = {1};
  for (int second = 0; second < 70; ++second) turn(), clock.advance(1s);
  ASSERT_FALSE(bus.health().meters[0].left_out.empty());
  link->holes.clear();
  link->silent = {1};
  for (int second = 0; second < 10; ++second) turn(), clock.advance(1s);
  link->silent.clear();
  for (int second = 0; second < 30; ++second) turn(), clock.advance(1s);
  EXPECT_TRUE(bus.health().meters[0].left_out.empty());
  EXPECT_FALSE(bus.health().meters[1].left_out.empty()) << "the other one was there all the time";
}

TEST_F(BusTest, reads_the_rest_of_a_meter_that_is_mute_on_one_request) {
  auto config = two_meters();
  config.meters.resize(1);
  auto& rows = config.meters[0].profile.registers;
  rows = {{.measurand = "power_l1", .address = 0},
          {.measurand = "power_l2", .address = 50},
          {.measurand = "power_l3", .address = 90}};
  auto* own = new FakeLink;
  own->mute = {0};
  Bus mute(config, std::unique_ptr<Link>(own), intake, clock);
  for (int second = 0; second < 60; ++second, clock.advance(1s)) {
    while (mute.step(clock.monotonic()) <= clock.monotonic()) {
    }
  }
  EXPECT_GE(intake.readings.size(), 50u);
  for (const auto& reading : intake.readings) EXPECT_EQ(reading.fields.size(), 2u);
  EXPECT_LE(std::ranges::count(own->requests, std::pair(0, 1)), 15) << "asked now and then";
  EXPECT_EQ(mute.health().meters[0].last_error, "no answer");
  own->mute.clear();
  for (int second = 0; second < 10; ++second, clock.advance(1s)) {
    while (mute.step(clock.monotonic()) <= clock.monotonic()) {
    }
  }
  EXPECT_EQ(intake.readings.back().fields.size(), 3u);
  EXPECT_EQ(mute.health().meters[0].last_error, "");
}

TEST_F(BusTest, asks_once_more_when_one_answer_is_lost) {
  link->lose = 1;
  turn();
  ASSERT_EQ(intake.readings.size(), 2u);
  EXPECT_EQ(bus.health().meters[0].failures, 0u);
  EXPECT_EQ(bus.health().meters[0].lost, 1u);
}

TEST_F(BusTest, reads_the_rest_when_one_address_is_illegal) {
  link->holes = {1};
  turn();
  ASSERT_EQ(intake.readings.size(), 2u);
  ASSERT_EQ(intake.readings[0].fields.size(), 2u);
  EXPECT_EQ(intake.readings[0].fields[0].name, "power_l1");
  EXPECT_EQ(intake.readings[0].fields[1].name, "power_l3");
  EXPECT_EQ(bus.health().meters[0].failures, 0u);
}

TEST_F(BusTest, learns_nothing_from_a_half_that_could_not_be_asked) {
  link->holes = {2};
  link->waiting = {{1, 2}};
  turn();
  link->holes.clear();
  link->waiting.clear();
  link->requests.clear();
  clock.advance(1s);
  turn();
  EXPECT_EQ(link->requests.size(), 2u) << "each meter in one request, as before";
}

TEST_F(BusTest, asks_a_silent_meter_ever_more_seldom_and_the_other_as_before) {
  link->silent = {1};
  for (int second = 0; second < 60; ++second) {
    turn();
    clock.advance(1s);
  }
  EXPECT_EQ(intake.readings.size(), 60u);
  for (const auto& reading : intake.readings) EXPECT_EQ(reading.device_id, "B");
  const auto asked = link->requests.size() - 60;
  EXPECT_LE(asked, 11u);
  EXPECT_GE(asked, 4u);
  EXPECT_EQ(bus.health().meters[0].last_error, "no answer");
}

TEST_F(BusTest, comes_back_as_soon_as_the_meter_answers) {
  link->silent = {1};
  turn();
  link->silent.clear();
  clock.advance(1s);
  turn();
  EXPECT_EQ(bus.health().meters[0].last_error, "");
}

TEST_F(BusTest, knows_after_a_restart_what_a_meter_refuses) {
  const auto directory = std::filesystem::temp_directory_path() / fmt::format("wattd-learnt-{}", ::getpid());
  auto config = two_meters();
  config.learnt_path = (directory / "buses" / "bus.learnt").string();
  auto* first = new FakeLink;
  first->holes = {1};
  {
    Bus before(config, std::unique_ptr<Link>(first), intake, clock);
    for (int second = 0; second < 70; ++second, clock.advance(1s)) {
      while (before.step(clock.monotonic()) <= clock.monotonic()) {
      }
    }
  }
  for (const auto& [waited, requests] : {std::pair{1h, 4u}, {25h, 2u}}) {
    clock.advance(waited);
    auto* second = new FakeLink;
    Bus after(config, std::unique_ptr<Link>(second), intake, clock);
    while (after.step(clock.monotonic()) <= clock.monotonic()) {
    }
    EXPECT_EQ(second->requests.size(), requests) << "no refusal is provoked for a day, and then one may be";
  }
  std::filesystem::remove_all(directory);
}

TEST(Learnt, passes_over_a_file_that_is_none_of_ours) {
  const std::vector<LearntLine> lines{
      {3, "eastron-sdm630", from_unix_us(1'770'465'600'000'000), true, 50, {{4, 200, 220}, {3, 0, 2}}},
      {7, "own", from_unix_us(0), false, 0, {{4, 1, 2}}}};
  const auto path = (std::filesystem::temp_directory_path() / fmt::format("wattd-{}.learnt", ::getpid())).string();
  ASSERT_TRUE(save_learnt(path, lines));
  EXPECT_EQ(load_learnt(path), lines);
  std::filesystem::remove(path);
  EXPECT_TRUE(load_learnt(path).empty());
  for (const auto* text : {"", "wattd learnt 2\n", "wattd learnt 1\nhole 4 1 2\n", "wattd learnt 1\nmeter 1 x\n",
                           "wattd learnt 1\nmeter 1 x 1 0 0\nhole 4 9 3\n", "wattd learnt 1\nnonsense\n"})
    EXPECT_TRUE(parse_learnt(text).empty()) << text;
}

TEST_F(BusTest, answers_questions_between_two_turns) {
  SystemClock real;
  auto* own = new FakeLink;
  Bus running(two_meters(), std::unique_ptr<Link>(own), intake, real);
  EXPECT_EQ(running.ask({1, 3, 5, 2}, 100ms, 20ms).error().kind, ErrorKind::retry) << "nobody is there to answer";
  std::jthread thread([&](const std::stop_token& stop) { running.run(stop); });
  const auto words = running.ask({1, 3, 5, 2}, 100ms, 10s);
  ASSERT_TRUE(words) << words.error().message;
  EXPECT_EQ(*words, (std::vector<std::uint16_t>{5, 6}));
}

TEST_F(BusTest, reads_the_slow_rows_together_with_the_fast_ones) {
  auto config = two_meters();
  config.meters.resize(1);
  auto& meter = config.meters[0];
  meter.slow = 3s;
  meter.profile.registers[1].poll = PollClass::slow;
  auto* own = new FakeLink;
  Bus mixed(config, std::unique_ptr<Link>(own), intake, clock);
  std::vector<std::size_t> fields;
  for (int second = 0; second < 7; ++second, clock.advance(1s)) {
    intake.readings.clear();
    while (mixed.step(clock.monotonic()) <= clock.monotonic()) {
    }
    ASSERT_EQ(intake.readings.size(), 1u);
    fields.push_back(intake.readings[0].fields.size());
  }
  EXPECT_EQ(fields, (std::vector<std::size_t>{3, 2, 2, 3, 2, 2, 3}));
  EXPECT_EQ(own->requests.size(), 7u) << "one request holds them all";
}

TEST_F(BusTest, does_not_ask_while_the_intake_is_full) {
  intake.room = false;
  turn();
  EXPECT_TRUE(link->requests.empty());
  EXPECT_EQ(bus.health().meters[0].skipped_full, 1u);
}

}  // namespace
}  // namespace wattd::drivers::modbus
