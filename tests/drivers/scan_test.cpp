#include "drivers/modbus/scan.h"

#include <gtest/gtest.h>

#include <map>

#include "drivers/modbus/sunspec.h"

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

/// Meters by unit: registers of a function, by address. Others are refused; units that are not here stay silent.
class PlantLink final : public Link {
 public:
  Result<std::vector<std::uint16_t>> read(int unit, int function, int address, int count) override {
    ++requests;
    const auto meter = meters.find(unit);
    if (meter == meters.end() || requests > silent_after) return fail(ErrorKind::retry, "no answer");
    std::vector<std::uint16_t> words;
    for (int i = address; i < address + count; ++i) {
      const auto word = meter->second.find({function, i});
      if (word == meter->second.end())
        return fail(silent_on_what_is_not_there ? ErrorKind::retry : ErrorKind::unsupported, "exception 2");
      words.push_back(word->second);
    }
    return words;
  }
  /// A meter that shows `values` where a profile says that they stand.
  void add(int unit, const Profile& profile, const std::map<std::string, double>& values) {
    auto& registers = meters[unit];
    for (const auto& row : profile.registers) {
      const auto value = values.find(row.measurand);
      const auto words = encode(row, value == values.end() ? 1 : value->second);
      for (std::size_t i = 0; i < words.size(); ++i)
        registers[{row.function, row.address + static_cast<int>(i)}] = words[i];
    }
  }

  Result<std::vector<std::string>> identify(int unit) override {
    const auto known = names.find(unit);
    if (known == names.end()) return fail(ErrorKind::unsupported, "exception 1");
    return known->second;
  }

  std::map<int, std::map<std::pair<int, int>, std::uint16_t>> meters;
  std::map<int, std::vector<std::string>> names;
  int requests = 0;
  int silent_after = 1 << 30;
  bool silent_on_what_is_not_there = false;
};

struct ScannerTest : testing::Test {
  static std::vector<Profile> all() {
    std::vector<Profile> profiles;
    for (const auto& id : list_profiles({SOURCE_DIR "/etc/profiles"}))
      profiles.push_back(load_profile(id, {SOURCE_DIR "/etc/profiles"}));
    return profiles;
  }
  PlantLink link;
  Scanner scanner{link, all(), 0ms};
};

const std::map<std::string, double> kQuiet{{"voltage_l1_n", 230},   {"voltage_l2_n", 231},   {"voltage_l3_n", 229},
                                           {"voltage_ln_avg", 230}, {"voltage_l1_l2", 400},  {"voltage_l2_l3", 401},
                                           {"voltage_l3_l1", 399},  {"voltage_ll_avg", 400}, {"frequency", 50}};

TEST_F(ScannerTest, finds_the_profile_that_fits_best) {
  link.add(7, load_profile("schneider-iem3155", {SOURCE_DIR "/etc/profiles"}), kQuiet);
  ASSERT_TRUE(scanner.is_there(7));
  const auto candidates = scanner.identify(7, 3);
  ASSERT_FALSE(candidates.empty());
  EXPECT_EQ(candidates[0].profile, "schneider-iem3155");
  EXPECT_EQ(candidates[0].doubtful, 0);
}

TEST_F(ScannerTest, believes_what_a_meter_says_of_itself) {
  // An A43 shows the same registers; the type tells them apart.
  const auto b23 = load_profile("abb-b23", {SOURCE_DIR "/etc/profiles"});
  ASSERT_FALSE(b23.identities.empty());
  link.add(7, b23, kQuiet);
  EXPECT_FALSE(scanner.identify(7, 1)[0].identified);
  auto nothing_runs = kQuiet;
  nothing_runs["voltage_l1_n"] = nothing_runs["frequency"] = 0;
  link.add(8, b23, nothing_runs);
  link.meters[8][{3, 0x8960}] = 0x4232, link.meters[8][{3, 0x8961}] = 0x3320;
  const auto known = scanner.identify(8, 3);
  ASSERT_FALSE(known.empty()) << "also while it measures nothing";
  EXPECT_EQ(known[0].profile, "abb-b23");
  EXPECT_TRUE(known[0].identified);
}

TEST_F(ScannerTest, a_number_that_may_stand_there_by_chance_is_not_enough) {
  link.meters[9][{3, 11}] = 341;
  EXPECT_TRUE(scanner.identify(9, 3).empty());
  link.add(10, load_profile("carlo-gavazzi-em340", {SOURCE_DIR "/etc/profiles"}), kQuiet);
  for (const int function : {3, 4}) link.meters[10][{function, 11}] = 341;
  const auto known = scanner.identify(10, 1);
  ASSERT_FALSE(known.empty());
  EXPECT_EQ(known[0].profile, "carlo-gavazzi-em340");
}

TEST_F(ScannerTest, a_vendor_s_name_alone_does_not_say_which_meter) {
  link.add(12, load_profile("socomec-countis-e34-e44", {SOURCE_DIR "/etc/profiles"}), kQuiet);
  for (const auto& [at, letter] : {std::pair{50000, 'S'}, {50001, 'O'}, {50002, 'C'}, {50003, 'O'}})
    link.meters[12][{3, at}] = static_cast<std::uint16_t>(letter);
  const auto known = scanner.identify(12, 3);
  ASSERT_FALSE(known.empty());
  EXPECT_TRUE(known[0].identified);
  EXPECT_GT(known[0].plausible, 3) << known[0].profile;
}

TEST_F(ScannerTest, believes_the_name_that_a_meter_answers_with) {
  auto nothing_runs = kQuiet;
  for (auto& [name, value] : nothing_runs) value = 0;
  link.add(14, load_profile("schneider-iem3155", {SOURCE_DIR "/etc/profiles"}), nothing_runs);
  link.names[14] = {"Schneider Electric", "iEM3155", "1.4"};
  const auto known = scanner.identify(14, 3);
  ASSERT_FALSE(known.empty());
  EXPECT_EQ(known[0].profile, "schneider-iem3155");
  EXPECT_TRUE(known[0].identified);
}

TEST_F(ScannerTest, asks_first_for_what_a_meter_says_of_itself) {
  // Silent on all that it does not know.
  auto& words = link.meters[13];
  const auto sdm120 = load_profile("eastron-sdm120", {SOURCE_DIR "/etc/profiles"});
  link.add(13, sdm120, kQuiet);
  words[{3, 64514}] = 0x0020;
  link.silent_on_what_is_not_there = true;
  const auto known = scanner.identify(13, 3);
  ASSERT_FALSE(known.empty());
  EXPECT_EQ(known[0].profile, "eastron-sdm120");
}

TEST_F(ScannerTest, finds_every_model_of_one_kind) {
  const auto profile = load_profile("sunspec-meter-float", {SOURCE_DIR "/etc/profiles"});
  auto& words = link.meters[11];
  const auto put = [&](int address, std::initializer_list<int> all) {
    for (const int word : all) words[{3, address++}] = static_cast<std::uint16_t>(word);
  };
  put(40000, {0x5375, 0x6E53});
  int at = 40002;
  for (int i = 0; i < 2; ++i, at += 126) {
    for (int word = 0; word < 126; ++word) words[{3, at + word}] = 0;
    put(at, {213, 124});
    for (const auto& row : profile.registers) {
      const auto value = kQuiet.find(row.measurand);
      const auto encoded = encode(row, value == kQuiet.end() ? 1 : value->second);
      for (std::size_t w = 0; w < encoded.size(); ++w)
        words[{row.function, at + row.address + static_cast<int>(w)}] = encoded[w];
    }
  }
  put(at, {0xFFFF, 0});
  const auto known = scanner.identify(11, 3);
  ASSERT_GE(known.size(), 2u);
  EXPECT_EQ(known[0].instance, 1);
  EXPECT_EQ(known[1].instance, 2);
  EXPECT_EQ(base_of(link, 11, profile, 2), 40002 + 126);
  const auto third = base_of(link, 11, profile, 3);
  ASSERT_FALSE(third);
  EXPECT_NE(third.error().message.find("too few"), std::string::npos);
}

TEST_F(ScannerTest, wants_voltage_and_frequency_both) {
  auto values = kQuiet;
  values["frequency"] = 12;
  link.add(7, load_profile("eastron-sdm630", {SOURCE_DIR "/etc/profiles"}), values);
  for (const auto& candidate : scanner.identify(7, 100)) EXPECT_NE(candidate.profile, "eastron-sdm630");
}

TEST_F(ScannerTest, leaves_a_silent_unit_at_two_requests_and_a_refusing_one_without_a_name) {
  EXPECT_FALSE(scanner.is_there(3));
  EXPECT_FALSE(scanner.is_there(30));
  EXPECT_LE(link.requests, 3);
  EXPECT_EQ(scanner.last_error(), "no answer");
  link.meters[4];
  EXPECT_TRUE(scanner.is_there(4));
  EXPECT_TRUE(scanner.identify(4, 3).empty());
}

TEST_F(ScannerTest, gives_up_a_unit_that_does_not_answer_any_more) {
  link.add(5, load_profile("eastron-sdm630", {SOURCE_DIR "/etc/profiles"}), kQuiet);
  link.silent_after = 20;
  ASSERT_TRUE(scanner.is_there(5));
  scanner.identify(5, 3);
  EXPECT_LE(link.requests, 20 + 15);
}

TEST(Plausible, knows_what_a_plant_may_have) {
  EXPECT_EQ(is_plausible("voltage_l1_n", 230), true);
  EXPECT_EQ(is_plausible("voltage_l1_n", 400), false);
  EXPECT_EQ(is_plausible("voltage_l1_l2", 400), true);
  EXPECT_EQ(is_plausible("frequency", 5000), false);
  EXPECT_EQ(is_plausible("power_factor_total", 1.5), false);
  EXPECT_EQ(is_plausible("device_serial", 1), std::nullopt);
}

TEST(Orders, only_one_of_them_makes_sense_of_a_voltage) {
  const Register row{.measurand = "voltage_l1_n", .type = RegisterType::float32};
  const std::vector<std::uint16_t> little{0x8000, 0x4366};  // 230.5, least significant word first
  const auto orders = in_every_order(row, little);
  ASSERT_EQ(orders.size(), 4u);
  int plausible = 0;
  for (const auto& order : orders) plausible += is_plausible(row.measurand, order.value.value_or(0)).value_or(false);
  EXPECT_EQ(plausible, 1);
  EXPECT_TRUE(orders[1].least_word_first);
  EXPECT_EQ(orders[1].value, 230.5);
}

TEST(Orders, a_single_word_has_two_and_a_text_none) {
  const std::vector<std::uint16_t> word{0xFA00};
  const auto orders = in_every_order({.measurand = "frequency", .scale = .2}, word);
  ASSERT_EQ(orders.size(), 2u);
  EXPECT_TRUE(orders[1].bytes_swapped);
  EXPECT_EQ(orders[1].value, 50);
  EXPECT_TRUE(
      in_every_order({.measurand = "device_serial", .type = RegisterType::string, .text_registers = 1}, word).empty());
}

}  // namespace
}  // namespace wattd::drivers::modbus
