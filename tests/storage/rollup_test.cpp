#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <unistd.h>

#include <bit>
#include <filesystem>
#include <limits>

#include "storage/rollup_bytes.h"
#include "storage/rollup_rows.h"
#include "storage/schema.h"
#include "telemetry/bytes.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;
const Timestamp kNoon = from_unix_us(1'770'465'600'000'000);  // 2026-02-07T12:00:00Z

Rollup through(const Rollup& rollup) {
  Rollup found{.start = rollup.start};
  decode_rollup(encode_rollup(rollup), found);
  return found;
}

TEST(RollupBytes, come_back) {
  EXPECT_TRUE(rc::check([](std::int64_t count, double min, double sum, std::uint16_t quality) {
    Rollup rollup{.start = kNoon, .quality = static_cast<Quality>(quality)};
    if (count > 0) {
      rollup.count = count, rollup.min = min, rollup.max = -min, rollup.sum = sum;
      rollup.first = 230.5, rollup.last = std::numeric_limits<double>::denorm_min();
    }
    rollup.coverage = *rc::gen::element(0.0, 1.0, 1.0 / 3, 0.999);
    if (*rc::gen::arbitrary<bool>()) rollup.milli = *rc::gen::arbitrary<std::int64_t>();
    RC_ASSERT(through(rollup) == rollup);
  }));
}

TEST(RollupBytes, are_those_of_the_worked_example) {
  const Rollup rollup{
      .start = kNoon, .count = 2, .min = 230.5, .max = 231, .sum = 461.5, .first = 230.5, .last = 231, .coverage = .5};
  const std::vector<std::uint8_t> expected{0x01, 0x8D, 0x23, 0x1F, 0xB9, 0x05, 0x00, 0x02, 0x01, 0x82, 0x24,
                                           0x00, 0xCE, 0x03, 0x01, 0x8E, 0x48, 0x01, 0x82, 0x24, 0x00, 0xCE,
                                           0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xE0, 0x3F};
  EXPECT_EQ(encode_rollup(rollup), expected);
}

TEST(RollupBytes, tell_damage_and_the_future) {
  const auto bytes = encode_rollup({.start = kNoon, .count = 1, .min = 1, .max = 1, .sum = 1, .first = 1, .last = 1});
  Rollup rollup;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto changed = bytes;
    changed[i] ^= 0x10;
    EXPECT_THROW(decode_rollup(changed, rollup), BadBytes) << i;
    EXPECT_THROW(decode_rollup(std::span(bytes).first(i), rollup), BadBytes) << i;
  }
}

/// Rollups as schema 2 wrote them: in columns, or sealed but for what was left clear.
class OldRollups : public ::testing::Test {
 protected:
  OldRollups() { std::filesystem::create_directories(directory); }
  ~OldRollups() override { std::filesystem::remove_all(directory); }
  Database open(const Vault& vault = {}) { return Database(directory + "/wattd.db", Database::Mode::writer, vault); }
  /// A database of schema 2 with one series.
  static void begin(Database& database) {
    migrate(database, 2);
    database.execute(
        "INSERT INTO devices (device_key, device_id, device_name, device_type, created_at, updated_at, version) "
        "VALUES (1, 'D1', 'D1', 'bulb', 0, 0, 1)");
    database.execute("INSERT INTO series (series_id, device_key, field) VALUES (1, 1, 'energy')");
  }
  std::string directory =
      (std::filesystem::temp_directory_path() / ("wattd-rollups-" + std::to_string(getpid()))).string();
  const Rollup rollup{.start = kNoon,
                      .count = 3,
                      .min = 1,
                      .max = 4,
                      .sum = 7.5,
                      .first = 1,
                      .last = 2.5,
                      .coverage = .25,
                      .milli = 1'500'000,
                      .quality = Quality::estimated};
};

TEST_F(OldRollups, stay_readable_beside_new_ones) {
  auto database = open();
  begin(database);
  Statement(database, "INSERT INTO rollups_hourly VALUES (1, ?, 3, 1, 4, 7.5, 1, 2.5, .25, ?, 1500000, NULL, NULL)")
      .bind(kNoon)
      .bind(std::int64_t{static_cast<std::uint16_t>(Quality::estimated)})
      .run();
  migrate(database);
  RollupRows rows(database, RollupRows::Table::hourly);
  auto later = rollup;
  later.start = kNoon + 1h;
  rows.put({1, later, false, {}});
  EXPECT_EQ(rows.range(1, kAlways), (std::vector{rollup, later}));
  EXPECT_EQ(rows.find(1, kNoon)->rollup, rollup);
  rows.put({1, rollup, false, {}});
  EXPECT_EQ(rows.find(1, kNoon)->rollup, rollup) << "written anew, it is of the new kind";
}

TEST_F(OldRollups, open_where_they_were_sealed) {
  const auto vault = Vault::parse(std::string(64, '7')).value();
  auto database = open(vault);
  begin(database);
  ByteWriter values;
  for (const auto value : {1.0, 4.0, 7.5, 1.0, 2.5}) values.real(value);
  values.zigzag_varint(1'500'000);
  const auto sealed = vault.seal({Vault::Kind::daily, 1, to_unix_us(kNoon)}, values.bytes());
  Statement(database, "INSERT INTO rollups_daily VALUES (1, ?, 3, 0, 0, 0, 0, 0, .25, ?, NULL, ?)")
      .bind(kNoon)
      .bind(std::int64_t{static_cast<std::uint16_t>(Quality::estimated)})
      .bind(std::span<const std::uint8_t>(sealed))
      .run();
  migrate(database);
  EXPECT_EQ(RollupRows(database, RollupRows::Table::daily).range(1, kAlways), std::vector{rollup});
}

TEST_F(OldRollups, say_when_one_is_damaged_and_go_on_with_the_next) {
  const auto vault = Vault::parse(std::string(64, '7')).value();
  auto database = open(vault);
  begin(database);
  ByteWriter values;
  for (const auto value : {1.0, 4.0, 7.5, 1.0, 2.5}) values.real(value);
  const auto sealed = vault.seal({Vault::Kind::daily, 1, to_unix_us(kNoon)}, values.bytes());
  for (const auto start : {kNoon - 24h, kNoon}) {  // the first one stands where it was not sealed for
    Statement(database, "INSERT INTO rollups_daily VALUES (1, ?, 3, 0, 0, 0, 0, 0, .25, 0, NULL, ?)")
        .bind(start)
        .bind(std::span<const std::uint8_t>(sealed))
        .run();
  }
  migrate(database);
  RollupRows rows(database, RollupRows::Table::daily);
  for (int again = 0; again < 2; ++again) {
    const auto found = rows.range(1, kAlways);
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].count, 0) << "nothing is made up";
    EXPECT_EQ(found[1].sum, 7.5);
    EXPECT_TRUE(rows.find(1, kNoon - 24h)->is_damaged);
  }
}

}  // namespace
}  // namespace wattd::storage
