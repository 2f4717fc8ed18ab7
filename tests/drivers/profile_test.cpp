// From a profile to requests, and from words to values.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <tuple>

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

TEST(Profiles, whose_rows_overlap_are_refused_whoever_wrote_them) {
  const auto table = config::parse(
      "registers = [\n  { measurand = \"power_total\", address = 12, type = \"float32\" },\n"
      "  { measurand = \"frequency\", address = 13 },\n]\n[profile]\nid = \"x\"\nvendor = \"y\"\n",
      "x.toml");
  try {
    parse_profile(table);
    FAIL();
  } catch (const config::ConfigError& problem) {
    EXPECT_NE(std::string(problem.what()).find("frequency at 13 overlaps power_total at 12"), std::string::npos)
        << problem.what();
  }
}

TEST(Profiles, whose_identity_could_never_match_are_refused) {
  for (const std::string identity :
       {"values = [70000]", "values = [-1]", "registers = 1\ntext = \"abc\"", "registers = 9\ntext = \"ab\"", ""}) {
    const auto table = config::parse(
        "registers = [ { measurand = \"power_total\", address = 12 } ]\n[profile]\nid = "
        "\"x\"\nvendor = \"y\"\n[[identity]]\naddress = 1\n" +
            identity + "\n",
        "x.toml");
    EXPECT_THROW(parse_profile(table), config::ConfigError) << identity;
  }
}

TEST(Profiles, an_unknown_one_is_answered_with_those_that_begin_like_it) {
  try {
    load_profile("eastron-sdm631", kShipped);
    FAIL();
  } catch (const config::ConfigError& problem) {
    const std::string what = problem.what();
    EXPECT_NE(what.find("eastron-sdm630"), std::string::npos) << what;
    EXPECT_NE(what.find("wattctl meter profiles"), std::string::npos) << what;
    EXPECT_LT(what.size(), 600u) << what;
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

}  // namespace
}  // namespace wattd::drivers::modbus
