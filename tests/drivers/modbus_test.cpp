#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <unistd.h>

#include <cmath>
#include <deque>
#include <filesystem>
#include <map>
#include <set>
#include <thread>
#include <tuple>

#include "drivers/modbus/bus.h"
#include "drivers/modbus/learnt.h"
#include "drivers/modbus/plan.h"
#include "drivers/modbus/profile.h"

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

const std::vector<std::string> kShipped{SOURCE_DIR "/etc/profiles"};

TEST(Decode, reads_the_example_of_the_sdm630_manual) {
  // Eastron SDM630 Modbus Protocol V2.0: 0x4366 0x3334 is shown as 230.2 V.
  const Register row{.measurand = "voltage_l1_n", .type = RegisterType::float32};
  EXPECT_EQ(decode(row, std::vector<std::uint16_t>{0x4366, 0x3333}), Value(230.2));
  EXPECT_EQ(decode(row, std::vector<std::uint16_t>{0x4366, 0x3334}), Value(230.20001));
}

TEST(Decode, scales_in_decimal) {
  Register row{.type = RegisterType::int16, .scale = .1};
  EXPECT_EQ(decode(row, std::vector<std::uint16_t>{2301}), Value(230.1));
  row = {.type = RegisterType::int64, .scale = .001};
  EXPECT_EQ(decode(row, std::vector<std::uint16_t>{0, 0, 0x0001, 0xE240}), Value(123.456));
}

TEST(Decode, honours_word_order_and_sign) {
  const Register row{.type = RegisterType::int32, .word_order = WordOrder::little};
  EXPECT_EQ(decode(row, std::vector<std::uint16_t>{0xFFFE, 0xFFFF}), Value(std::int64_t{-2}));
}

TEST(Decode, makes_no_value_of_a_sentinel) {
  EXPECT_FALSE(decode({.type = RegisterType::float32}, std::vector<std::uint16_t>{0x7FC0, 0}));
  EXPECT_FALSE(decode({.type = RegisterType::int16, .sentinels = {-32768}}, std::vector<std::uint16_t>{0x8000}));
}

TEST(Decode, adds_an_offset_and_turns_a_sign_around) {
  const Register warm{.type = RegisterType::uint16, .offset = -1000, .scale = .1};
  EXPECT_EQ(decode(warm, std::vector<std::uint16_t>{1253}), Value(25.3));
  const Register export_{.type = RegisterType::int32, .scale = -.1};
  EXPECT_EQ(decode(export_, std::vector<std::uint16_t>{0, 2301}), Value(-230.1));
}

TEST(Decode, knows_sentinels_as_they_stand_in_the_registers) {
  const Register row{.type = RegisterType::int16, .sentinels = {0x8000, 0x7FFF}};
  EXPECT_FALSE(decode(row, std::vector<std::uint16_t>{0x8000}));
  EXPECT_FALSE(decode(row, std::vector<std::uint16_t>{0x7FFF}));
  EXPECT_EQ(decode(row, std::vector<std::uint16_t>{0xFFFF}), Value(std::int64_t{-1}));
  EXPECT_FALSE(decode({.type = RegisterType::uint64, .sentinels = {-1}},
                      std::vector<std::uint16_t>{0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF}));
}

TEST(Decode, reads_texts_and_lets_no_control_characters_through) {
  const Register row{.type = RegisterType::string, .text_registers = 4};
  EXPECT_EQ(decode(row, std::vector<std::uint16_t>{0x5344, 0x4D1B, 0x3620, 0x0000}), Value(std::string("SDM?6")));
  EXPECT_FALSE(decode(row, std::vector<std::uint16_t>{0x2020, 0, 0, 0}));
}

TEST(Decode, takes_the_scale_from_its_register) {
  const Register row{.address = 2, .type = RegisterType::int16, .scale = .01, .scale_register = 5};
  const Request request{.address = 2, .count = 4, .rows = {&row}};
  EXPECT_EQ(value_in(row, request, std::vector<std::uint16_t>{980, 0, 0, 0xFFFF}), Value(.98));
  EXPECT_EQ(value_in(row, request, std::vector<std::uint16_t>{980, 0, 0, 0}), Value(9.8));
  EXPECT_FALSE(value_in(row, request, std::vector<std::uint16_t>{980, 0, 0, 0x8000})) << "the scale is not implemented";
  EXPECT_EQ(row.first(), 2);
  EXPECT_EQ(row.end(), 6);
}

TEST(Decode, turns_a_leading_power_factor_round) {
  const Register row{.type = RegisterType::float32, .coding = Coding::four_quadrant};
  const auto words = encode({.type = RegisterType::float32}, 1.25);
  EXPECT_EQ(decode(row, words), Value(.75));
}

TEST(Decode, reads_what_encode_wrote) {
  EXPECT_TRUE(rc::check([](std::int32_t whole, bool little) {
    const Register row{.type = RegisterType::int32, .word_order = little ? WordOrder::little : WordOrder::big};
    RC_ASSERT(decode(row, encode(row, whole)) == Value(std::int64_t{whole}));
  }));
}

TEST(Profiles, that_are_shipped_all_load_and_fit_their_own_limits) {
  const auto ids = list_profiles(kShipped);
  EXPECT_GE(ids.size(), 3u);
  for (const auto& id : ids) {
    const auto profile = load_profile(id, kShipped);
    EXPECT_EQ(profile.id, id);
    for (const auto turn : {Rows::fast, Rows::slow, Rows::all}) {
      for (const auto& request : plan(profile, turn, true)) {
        EXPECT_LE(request.count, profile.max_registers) << id;
        EXPECT_EQ(request.address % profile.alignment, 0) << id;
        EXPECT_EQ(request.count % profile.alignment, 0) << id;
        for (const auto* row : request.rows) {
          EXPECT_GE(row->first(), request.address);
          EXPECT_LE(row->end(), request.address + request.count);
        }
      }
    }
    auto rows = profile.registers;
    const auto place = [](const Register& row) { return std::tuple(row.function, row.address); };
    std::ranges::sort(rows, {}, place);
    for (std::size_t i = 1; i < rows.size(); ++i) {
      const auto& before = rows[i - 1];
      EXPECT_FALSE(before.function == rows[i].function && rows[i].address < before.address + before.count())
          << id << ": " << before.measurand << " overlaps " << rows[i].measurand;
    }
  }
}

TEST(Profiles, of_ones_own_extend_others) {
  const auto base = load_profile("eastron-sdm120", kShipped);
  const auto own = parse_profile(config::parse(R"(
registers = [ { measurand = "power_total", function = 3, address = 900, type = "int32" } ]
[profile]
id = "mine"
extends = "eastron-sdm120"
omit = ["frequency"]
[requests]
max_registers = 10
)",
                                               "mine.toml"),
                                 base);
  EXPECT_EQ(own.vendor, base.vendor);
  EXPECT_EQ(own.max_registers, 10);
  EXPECT_EQ(own.max_gap, base.max_gap);
  EXPECT_EQ(own.registers.size(), base.registers.size() - 1);
  const auto power = std::ranges::find(own.registers, "power_total", &Register::measurand);
  EXPECT_EQ(power->address, 900);
}

TEST(Plan, keeps_clear_of_holes_and_asks_alone_what_answers_only_alone) {
  Profile profile{.max_registers = 50, .max_gap = 10};
  const auto row = [](const char* name, int address, Access access = Access::read) {
    return Register{.measurand = name, .address = address, .access = access};
  };
  profile.registers = {row("a", 0), row("b", 2), row("c", 6), row("d", 8, Access::alone)};
  EXPECT_EQ(plan(profile, Rows::fast, false).size(), 2u);
  const Line between{.holes = {{.function = 3, .from = 4, .to = 5}}};
  const auto split = plan(profile, Rows::fast, false, between);
  ASSERT_EQ(split.size(), 3u);
  EXPECT_EQ(split[0].count, 3);
  EXPECT_EQ(split[1].address, 6);
  const Line on_a_row{.holes = {{.function = 3, .from = 2, .to = 3}}};
  for (const auto& request : plan(profile, Rows::fast, false, on_a_row)) {
    for (const auto* one : request.rows) EXPECT_NE(one->measurand, "b");
  }
  const Line short_ones{.max_registers = 4};
  EXPECT_EQ(plan(profile, Rows::fast, false, short_ones).size(), 3u);
}

TEST(Plan, pays_for_a_gap_only_where_it_is_cheaper_than_another_request) {
  Profile profile{.max_registers = 125, .max_gap = 100};
  profile.registers = {{.measurand = "a", .address = 0}, {.measurand = "b", .address = 60}};
  EXPECT_EQ(plan(profile, Rows::fast, false, {.baud = 115'200}).size(), 1u);
  EXPECT_EQ(plan(profile, Rows::fast, false, {.baud = 1200}).size(), 2u);
}

TEST(Plan, gives_requests_lengths_of_their_own) {
  Profile profile{.max_registers = 10, .max_gap = 2};
  std::vector<Request> requests{{.address = 0, .count = 4},
                                {.address = 20, .count = 4},
                                {.address = 40, .count = 4},
                                {.address = 60, .count = 4},
                                {.function = 4, .address = 0, .count = 4}};
  std::vector<Request*> all;
  for (auto& request : requests) all.push_back(&request);
  tell_apart(all, profile);
  EXPECT_EQ(requests[0].count, 4);
  EXPECT_EQ(requests[1].count, 5);
  EXPECT_EQ(requests[2].count, 6);
  EXPECT_EQ(requests[2].padding, 2);
  EXPECT_EQ(requests[3].count, 4) << "no more registers than the meter tolerates";
  EXPECT_EQ(requests[4].count, 4) << "another function is told apart already";
}

TEST(Profiles, name_the_key_that_is_wrong) {
  const auto table = config::parse(
      "registers = [\n  { measurand = \"power_total\", function = 4, address = 12, type = \"float33\" "
      "},\n]\n[profile]\nid = \"x\"\nvendor = \"y\"\n",
      "x.toml");
  try {
    parse_profile(table);
    FAIL();
  } catch (const config::ConfigError& problem) {
    EXPECT_TRUE(
        std::string(problem.what()).starts_with("x.toml:2:67: registers[0].type is 'float33'; expected one of uint16"))
        << problem.what();
  }
}

TEST(Plan, merges_neighbours_and_leaves_gaps_that_cost_more) {
  Profile profile{.max_registers = 20, .max_gap = 4};
  const auto row = [](int address) {
    return Register{.measurand = "m", .address = address, .type = RegisterType::float32};
  };
  profile.registers = {row(0), row(2), row(8), row(13), row(30)};
  const auto requests = plan(profile, Rows::fast, false);
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].address, 0);
  EXPECT_EQ(requests[0].count, 15);
  EXPECT_EQ(requests[1].address, 30);
}

TEST(Plan, asks_an_sdm630_in_few_requests) {
  const auto profile = load_profile("eastron-sdm630", kShipped);
  EXPECT_LE(plan(profile, Rows::fast, false).size(), 4u);
}

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
  for (int second = 0; second < 5; ++second) turn(), clock.advance(1s);
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
  for (int second = 0; second < 5; ++second) turn(), clock.advance(1s);
  EXPECT_EQ(bus.health().meters[0].left_out, (std::vector<std::string>{"power_l2"}));
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
    for (int second = 0; second < 5; ++second, clock.advance(1s)) {
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
