// What a store does with the databases that it finds.
#include <fstream>
#include <set>

#include "storage/envelope.h"
#include "storage/schema.h"
#include "tests/storage/store_fixture.h"

namespace wattd::storage {
namespace {

struct OpeningTest : StoreFixture {};

TEST_F(OpeningTest, sets_a_database_aside_whichever_of_its_tables_is_damaged) {
  std::vector<std::pair<std::string, std::int64_t>> roots;
  std::vector<Reading> readings;
  for (int i = 0; i < 3000; ++i) readings.push_back(wide(kNoon + i * 10s, i));
  for (int i = 0; i < 3000; i += 500) commit({readings.begin() + i, readings.begin() + i + 500});
  settle(kNoon + 24h);
  {
    Database database(store->path(), Database::Mode::reader);
    Statement row(database, "SELECT name, rootpage FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite%'");
    while (row.step()) roots.emplace_back(row.text(0), row.integer(1));
  }
  store.reset();
  const auto path = directory + "/wattd.db";
  const auto sound = directory + "/sound";
  std::filesystem::copy_file(path, sound);
  for (const auto& [table, page] : roots) {
    SCOPED_TRACE(table);
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      if (entry.path().filename().string().starts_with("wattd")) std::filesystem::remove(entry.path());
    }
    std::filesystem::copy_file(sound, path);
    {
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp((page - 1) * 1024);
      file << std::string(1024, '\x5A');
    }
    // At the start, or at the next one after what is damaged was needed.
    for (int start = 0; start < 3; ++start) {
      open();
      Group group{.devices = {{.id = "D1", .name = "D1", .type = "bulb", .version = 1}}};
      group.readings = {reading(kNoon + 48h + start * 1s, 1)};
      (void)store->commit(group);
      for (auto more = store->maintain(kNoon + 96h); more && *more;) more = store->maintain(kNoon + 96h);
    }
    open();
    EXPECT_EQ(commit({reading(kNoon + 50h, 1)}) > 0, true);
    if (store->path() != path) {
      EXPECT_NE(store->set_aside().find("wattd.db"), std::string::npos);
    }
  }
}

TEST_F(OpeningTest, leaves_a_database_it_cannot_read_and_collects_beside_it) {
  store.reset();
  const auto path = directory + "/wattd.db";
  for (const auto* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path + suffix);
  std::ofstream(path) << std::string(8192, '\0') + "power cut";
  open();
  EXPECT_EQ(store->path(), directory + "/wattd-2.db");
  EXPECT_NE(store->set_aside().find("wattd.db cannot be used"), std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(path), 8201u) << "the damaged file must stay as it is";
  EXPECT_EQ(commit({reading(kNoon, 1)}), 1u);
  // Whether the first one stays or goes: what came since is in the second, and stays in use.
  open();
  EXPECT_EQ(store->path(), directory + "/wattd-2.db");
  EXPECT_NE(store->set_aside().find("wattd.db is not in use"), std::string::npos) << store->set_aside();
  std::filesystem::remove(path);
  open();
  EXPECT_EQ(store->path(), directory + "/wattd-2.db");
  EXPECT_EQ(store->set_aside(), "");
  EXPECT_EQ(range(kNoon, kNoon + 1s).size(), 1u);
}

TEST_F(OpeningTest, takes_over_a_database_of_the_first_schema) {
  store.reset();
  const auto path = directory + "/wattd.db";
  for (const auto* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path + suffix);
  {
    Database old(path, Database::Mode::writer);
    old.execute("PRAGMA journal_mode=WAL");
    migrate(old, 1);
    old.execute(
        "INSERT INTO devices (device_key, device_id, device_name, device_type, created_at, updated_at, version) "
        "VALUES (1, 'D1', 'D1', 'bulb', 0, 0, 1)");
    old.execute("INSERT INTO device_versions VALUES (1, 1, 'bulb', NULL, 'v1', 'skipped', 0)");
    old.execute("INSERT INTO series VALUES (1, 1, 'power', NULL, NULL)");
    old.execute("INSERT INTO rollups_hourly VALUES (1, 0, 9, 1, 2, 13, 1, 2)");
    old.execute("INSERT INTO rollup_pending VALUES (0, 7)");
    // The worked example of version 1 in docs/formats/segment.md, as segment 7.
    const std::vector<std::uint8_t> body{0x01, 0x01, 0x01, 0x01, 0x80, 0x89, 0x7A, 0x64, 0x00, 0x01, 0x01, 0x0B,
                                         0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xD0, 0x6C, 0x40};
    ByteWriter bytes;
    bytes.byte(1), bytes.byte(0), bytes.word(checksum(0, body)), bytes.raw(body.data(), body.size());
    Statement(old, "INSERT INTO segments VALUES (7, 0, 0, 1, 1, 500, NULL, ?)")
        .bind(std::span<const std::uint8_t>(bytes.bytes()))
        .run();
  }
  auto patient = options();
  patient.raw_retention = std::chrono::days{36'500};
  store = std::make_unique<Store>(patient);
  EXPECT_EQ(store->path(), path);
  EXPECT_EQ(store->usage().segments, 1);
  const auto first = from_unix_us(1'000'000);
  ASSERT_EQ(range(first, first + 1s).size(), 1u);
  EXPECT_EQ(Reader(path).batch_after({.seq = 6}, 10)->size(), 1u);
  EXPECT_EQ(commit({reading(kNoon, 1)}), 8u) << "numbers go on";
  settle(kNoon + 2h);
  EXPECT_EQ(store->usage().segments, 0) << "old segments are compacted, too";
  ASSERT_EQ(range(first, first + 1s).size(), 1u);
  EXPECT_EQ(range(first, first + 1s)[0].value, Value(230.5));
  EXPECT_EQ(range(kNoon, kNoon + 1s).size(), 1u);
}

TEST_F(OpeningTest, refuses_a_newer_schema_without_touching_it) {
  const auto path = store->path();
  store.reset();
  {
    Database database(path, Database::Mode::writer);
    database.execute("PRAGMA user_version=999");
  }
  open();
  EXPECT_NE(store->path(), path);
  EXPECT_NE(store->set_aside().find("schema 999"), std::string::npos) << store->set_aside();
}

}  // namespace
}  // namespace wattd::storage
