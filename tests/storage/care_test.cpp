#include "storage/care.h"
#include "storage/schema.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "storage/reader.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;

const Timestamp kNoon = from_unix_us(1'770'465'600'000'000);  // 2026-02-07T12:00:00Z

struct CareTest : testing::Test {
  CareTest() { open(); }
  ~CareTest() override { std::filesystem::remove_all(directory); }

  void open() {
    store.reset();
    store = std::make_unique<Store>(Options{.directory = directory, .ballast_bytes = 0, .backups = 0});
  }
  void settle(Timestamp now) {
    for (auto more = store->maintain(now); more && *more;) more = store->maintain(now);
  }
  /// A reading a minute from `from` on, and a device's record.
  void fill(Timestamp from, int minutes, const std::string& device = "D1") {
    Group group{.devices = {{.id = device, .name = device, .type = "bulb", .version = 1}}};
    for (int i = 0; i < minutes; ++i) {
      const auto at = from + i * 1min;
      group.readings.push_back(
          {.device_id = device, .at = at, .received = at, .device_version = 1, .fields = {{"power", std::sin(i)}}});
    }
    ASSERT_TRUE(store->commit(group));
  }
  static std::size_t count(const std::string& path, const std::string& device = "D1") {
    return Reader(path).range({device, "power"}, kAlways, 1'000'000)->size();
  }

  std::string directory =
      (std::filesystem::temp_directory_path() / ("wattd-care-" + std::to_string(getpid()))).string();
  std::unique_ptr<Store> store;
};

TEST_F(CareTest, copies_the_database_while_it_is_written_to) {
  fill(kNoon, 5000);
  settle(kNoon + 1h);
  const auto path = directory + "/copy/now.db";
  ASSERT_TRUE(store->begin_backup(path));
  EXPECT_NE(store->begin_backup(path).error().message.find("being made already"), std::string::npos);
  fill(kNoon + 24h * 10, 100);
  settle(kNoon + 24h * 11);
  ASSERT_FALSE(store->usage().backup_running);
  EXPECT_EQ(count(path), 5100u) << "what came meanwhile is in the copy, too";
  const auto sound = inspect(path);
  ASSERT_TRUE(sound);
  EXPECT_TRUE(sound->problems.empty()) << sound->problems.front();
  EXPECT_EQ(std::filesystem::status(path).permissions() & std::filesystem::perms::all,
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(CareTest, makes_a_copy_a_day_and_keeps_the_newest) {
  store = std::make_unique<Store>(Options{.directory = directory + "/daily", .ballast_bytes = 0, .backups = 3});
  for (int day = 0; day < 6; ++day) {
    fill(kNoon + 24h * day, 1);
    settle(kNoon + 24h * day);
    settle(kNoon + 24h * day + 1h);
  }
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory + "/daily/backups"))
    names.push_back(entry.path().filename());
  std::ranges::sort(names);
  EXPECT_EQ(names, (std::vector<std::string>{"wattd-2026-02-10.db", "wattd-2026-02-11.db", "wattd-2026-02-12.db"}));
}

TEST_F(CareTest, tries_a_copy_that_failed_again_within_the_day) {
  const auto data = directory + "/retried";
  std::filesystem::create_directories(data);
  std::ofstream(data + "/backups") << "a file where the directory should be";
  store = std::make_unique<Store>(Options{.directory = data, .ballast_bytes = 0});
  fill(kNoon, 10);
  settle(kNoon);
  EXPECT_NE(store->usage().backup_problem, "");
  std::filesystem::remove(data + "/backups");
  settle(kNoon + 59min);
  EXPECT_FALSE(std::filesystem::exists(data + "/backups")) << "not at once";
  settle(kNoon + 1h);
  EXPECT_TRUE(std::filesystem::exists(data + "/backups/wattd-2026-02-07.db"));
  EXPECT_EQ(store->usage().backup_problem, "");
}

TEST_F(CareTest, gives_up_the_oldest_copies_where_all_together_would_pass_the_limit) {
  const auto data = directory + "/limited";
  store = std::make_unique<Store>(Options{.directory = data, .ballast_bytes = 0, .limit_bytes = 600'000, .backups = 7});
  // A neighbour whose name is nearly that of a copy.
  std::filesystem::create_directories(data + "/backups");
  std::ofstream(data + "/backups/wattd-2.db") << "not ours to delete";
  for (int day = 0; day < 6; ++day) {
    fill(kNoon + 24h * day, 1);
    settle(kNoon + 24h * day);
    settle(kNoon + 24h * day + 1h);
  }
  std::uintmax_t bytes = 0;
  std::size_t copies = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data)) {
    if (!entry.is_regular_file()) continue;
    bytes += entry.file_size();
    copies += entry.path().filename().string().starts_with("wattd-2026");
  }
  EXPECT_LE(bytes, 640'000u) << "the index of the log aside";
  EXPECT_GE(copies, 1u);
  EXPECT_LT(copies, 6u);
  EXPECT_TRUE(std::filesystem::exists(data + "/backups/wattd-2.db"));
  // A limit that leaves no room at all is said.
  store = std::make_unique<Store>(Options{.directory = data + "2", .ballast_bytes = 0, .limit_bytes = 1000});
  settle(kNoon + 3h);
  EXPECT_NE(store->usage().backup_problem.find("limit leaves no room"), std::string::npos);
}

TEST_F(CareTest, copies_over_nothing_that_is_there) {
  fill(kNoon, 10);
  for (const auto& target : {store->path(), std::filesystem::path(store->path()).parent_path().string() + "/new.db"}) {
    const auto begun = store->begin_backup(target);
    ASSERT_FALSE(begun);
    EXPECT_NE(begun.error().message.find("where the database itself lies"), std::string::npos) << begun.error().message;
  }
  std::filesystem::create_directories(directory + "/copies");
  std::ofstream(directory + "/copies/notes.txt") << "mine";
  EXPECT_FALSE(store->begin_backup(directory + "/copies/notes.txt"));
}

TEST_F(CareTest, puts_a_copy_back_and_takes_in_what_came_since) {
  fill(kNoon, 100);
  settle(kNoon + 24h);
  const auto copy = directory + "/copies/copy.db";
  ASSERT_TRUE(store->begin_backup(copy));
  settle(kNoon + 24h);
  fill(kNoon + 3h, 50);
  fill(kNoon, 10, "D2");
  const auto path = store->path();
  store.reset();
  const auto kept = restore(copy, path);
  ASSERT_TRUE(kept) << kept.error().message;
  open();
  EXPECT_EQ(count(path), 100u);
  const auto merged = merge(*kept, *store);
  ASSERT_TRUE(merged) << merged.error().message;
  EXPECT_EQ(*merged, 60u) << "what stands here already is not taken again";
  EXPECT_EQ(count(path), 150u);
  EXPECT_EQ(count(path, "D2"), 10u);
  EXPECT_EQ(*merge(*kept, *store), 0u);
}

TEST_F(CareTest, refuses_to_put_back_what_is_not_sound) {
  fill(kNoon, 100);
  const auto path = store->path();
  store.reset();
  const auto bad = directory + "/bad.db";
  std::ofstream(bad) << std::string(5000, '\0');
  const auto refused = restore(bad, path);
  ASSERT_FALSE(refused);
  EXPECT_EQ(count(path), 100u) << "nothing may have changed";
}

TEST_F(CareTest, names_the_chunk_that_is_damaged_and_saves_the_rest) {
  for (int day = 0; day < 20; ++day) fill(kNoon + 24h * day, 600);
  settle(kNoon + 24h * 30);
  const auto path = store->path();
  store.reset();
  std::int64_t damaged = 0;
  {
    Database database(path, Database::Mode::writer);
    Statement some(database, "SELECT chunk_id FROM chunks LIMIT 1 OFFSET 7");
    ASSERT_TRUE(some.step());
    damaged = some.integer(0);
    some.reset();
    Statement(database, "UPDATE chunks SET body=zeroblob(length(body)) WHERE chunk_id=?").bind(damaged).run();
    (void)database.checkpoint(1s);
  }
  const auto found = inspect(path);
  ASSERT_TRUE(found);
  ASSERT_EQ(found->problems.size(), 1u);
  EXPECT_EQ(found->problems[0], "chunk " + std::to_string(damaged) + ": chunk: the body's checksum does not match");
  EXPECT_GT(count(path), 10'000u) << "the other chunks are read";
}

TEST_F(CareTest, saves_what_a_torn_file_still_holds) {
  for (int day = 0; day < 20; ++day) fill(kNoon + 24h * day, 600);
  settle(kNoon + 24h * 30);
  const auto path = store->path();
  store.reset();
  {
    Database database(path, Database::Mode::writer);
    database.execute("VACUUM");  // so that every page holds something
    (void)database.checkpoint(1s);
  }
  const auto size = std::filesystem::file_size(path);
  // How much one tear takes with it depends on what it hits: an index, one chunk's body, a leaf with the heads of many.
  // Behind the pages of the schema itself, that is: without those nothing can be read.
  constexpr int kTears = 6;
  constexpr std::uintmax_t kSchema = 128 * 1024;
  std::uint64_t kept = 0;
  std::uint64_t lost = 0;
  for (int tear = 1; tear <= kTears; ++tear) {
    const auto torn = directory + "/torn" + std::to_string(tear);
    const auto saved = directory + "/saved" + std::to_string(tear);
    std::filesystem::copy_file(path, torn);
    {
      std::fstream file(torn, std::ios::binary | std::ios::in | std::ios::out);
      file.seekp(static_cast<std::streamoff>(kSchema + (size - kSchema) * tear / (kTears + 1)));
      file << std::string(2 * 1024, '\0');
    }
    const auto found = inspect(torn);
    EXPECT_TRUE(!found || !found->problems.empty()) << tear;
    const auto salvaged = salvage(torn, saved);
    ASSERT_TRUE(salvaged) << salvaged.error().message;
    lost += salvaged->lost;
    kept += count(saved);
    const auto sound = inspect(saved);
    ASSERT_TRUE(sound) << tear;
    EXPECT_TRUE(sound->problems.empty()) << sound->problems.front();
    EXPECT_NE(salvage(torn, saved).error().message.find("exists already"), std::string::npos);
  }
  EXPECT_GT(kept, 12'000u * kTears * 2 / 3);
  EXPECT_GT(lost, 0u) << "but it says so where something is gone";
}

TEST_F(CareTest, looks_into_a_file_of_an_older_schema_and_puts_it_back) {
  fill(kNoon, 10);
  store.reset();
  const auto old = directory + "/old.db";
  {
    Database database(old, Database::Mode::writer);
    migrate(database, 2);
  }
  const auto found = inspect(old);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->schema, 2);
  EXPECT_TRUE(found->problems.empty()) << found->problems.front();
}

TEST_F(CareTest, says_so_when_nothing_is_left) {
  const auto zeros = directory + "/zeros.db";
  std::ofstream(zeros) << std::string(100'000, '\0');
  const auto salvaged = salvage(zeros, directory + "/none.db");
  ASSERT_FALSE(salvaged);
  EXPECT_EQ(salvaged.error().message.find("nothing can be read of it"), 0u) << salvaged.error().message;
}

}  // namespace
}  // namespace wattd::storage
