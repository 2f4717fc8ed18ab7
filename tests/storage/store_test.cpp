#include "storage/store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "storage/reader.h"
#include "storage/rollup.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;

const Timestamp kNoon = from_unix_us(1'770'465'600'000'000);  // 2026-02-07T12:00:00Z

struct StoreTest : testing::Test {
  StoreTest() { open(); }
  ~StoreTest() override { std::filesystem::remove_all(directory); }

  void open() {
    store.reset();
    store = std::make_unique<Store>(options());
  }
  Options options() const { return {.directory = directory, .ring_bytes = ring_bytes, .dead_letter_bytes = 1000}; }

  static Reading reading(Timestamp at, double power, const std::string& device = "D1") {
    return {.device_id = device, .at = at, .received = at, .device_version = 1, .fields = {{"power", power}}};
  }
  std::uint64_t commit(std::vector<Reading> readings) {
    Group group;
    for (const auto* id : {"D1", "D2"}) group.devices.push_back({.id = id, .name = id, .type = "bulb", .version = 1});
    group.readings = std::move(readings);
    const auto seq = store->commit(group);
    EXPECT_TRUE(seq) << seq.error().message;
    return seq.value_or(0);
  }
  std::vector<Sample> range(Timestamp from, Timestamp to, const std::string& device = "D1") {
    Reader reader(store->path());
    return *reader.range({device, "power"}, {from, to}, 10'000);
  }

  std::string directory =
      (std::filesystem::temp_directory_path() / ("wattd-store-" + std::to_string(getpid()))).string();
  std::int64_t ring_bytes = 1 << 20;
  std::unique_ptr<Store> store;
};

TEST_F(StoreTest, gives_back_what_was_committed_in_order_of_time) {
  commit({reading(kNoon + 2s, 3), reading(kNoon, 1), reading(kNoon, 7, "D2")});
  commit({reading(kNoon + 1s, 2)});
  const auto samples = range(kNoon, kNoon + 1h);
  ASSERT_EQ(samples.size(), 3u);
  EXPECT_EQ(samples[0], (Sample{kNoon, 1.0}));
  EXPECT_EQ(samples[1], (Sample{kNoon + 1s, 2.0}));
  EXPECT_EQ(samples[2], (Sample{kNoon + 2s, 3.0}));
  EXPECT_EQ(range(kNoon, kNoon + 2s).size(), 2u);
}

TEST_F(StoreTest, counts_a_timestamp_once_and_keeps_the_value_stored_last) {
  commit({reading(kNoon, 1)});
  commit({reading(kNoon, 5)});
  const auto samples = range(kNoon, kNoon + 1s);
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].value, Value(5.0));
  EXPECT_EQ(Reader(store->path()).count_samples({kNoon, kNoon + 1h}), 1u);
}

TEST_F(StoreTest, is_whole_after_it_was_opened_again) {
  const auto seq = commit({reading(kNoon, 1)});
  open();
  EXPECT_EQ(store->usage().last_seq, seq);
  EXPECT_EQ(range(kNoon, kNoon + 1s).size(), 1u);
  EXPECT_EQ(store->devices().size(), 2u);
  EXPECT_GT(commit({reading(kNoon + 1s, 2)}), seq);
}

TEST_F(StoreTest, overwrites_the_oldest_when_the_ring_is_full_and_stays_within_its_bound) {
  for (int i = 0; i < 2000; ++i) {
    Group group;
    if (i == 0) group.devices.push_back({.id = "D1", .name = "D1", .version = 1});
    auto wide = reading(kNoon + i * 1s, i);
    for (int j = 0; j < 200; ++j) wide.fields.push_back({"f" + std::to_string(j), i * 1.7 + j * 0.3});
    group.readings.push_back(wide);
    ASSERT_TRUE(store->commit(group));
    ASSERT_LE(store->usage().ring_bytes, ring_bytes);
  }
  const auto samples = range(kNoon, kNoon + 3h);
  ASSERT_FALSE(samples.empty());
  EXPECT_EQ(samples.back().value, Value(1999.0));
  EXPECT_GT(samples.front().at, kNoon);
  EXPECT_LT(samples.size(), 2000u);
}

TEST_F(StoreTest, knows_which_overwritten_segments_a_sink_never_had) {
  store->set_sinks({"vm"});
  for (int i = 0; i < 1500; ++i) {
    Group group;
    if (i == 0) group.devices.push_back({.id = "D1", .name = "D1", .version = 1});
    auto wide = reading(kNoon + i * 1s, i);
    for (int j = 0; j < 200; ++j) wide.fields.push_back({"f" + std::to_string(j), i * 1.7 + j * 0.3});
    group.readings.push_back(wide);
    ASSERT_TRUE(store->commit(group));
  }
  EXPECT_GT(store->usage().overwritten_unsent, 0u);
}

TEST_F(StoreTest, rolls_up_an_hour_once_it_has_ended) {
  commit({reading(kNoon, 1), reading(kNoon + 30min, 5), reading(kNoon + 59min, 3)});
  ASSERT_TRUE(store->maintain(kNoon + 30min));
  Reader reader(store->path());
  ASSERT_TRUE(store->maintain(kNoon + 2h));
  const auto hours = reader.aggregate({"D1", "power"}, {kNoon, kNoon + 24h}, 1h, 100);
  ASSERT_EQ(hours->size(), 1u);
  EXPECT_EQ(hours->front(), (Rollup{kNoon, 3, 1, 5, 9, 1, 3}));
}

TEST_F(StoreTest, goes_on_when_a_device_says_numbers_too_big_to_add_up) {
  commit({reading(kNoon, 1.7e308), reading(kNoon + 1s, 1.7e308)});
  commit({reading(kNoon + 1h, -1.7e308), reading(kNoon + 1h + 1s, -1.7e308)});
  while (true) {
    const auto more = store->maintain(kNoon + 5h);
    ASSERT_TRUE(more) << more.error().message;
    if (!*more) break;
  }
  EXPECT_EQ(Reader(store->path()).aggregate({"D1", "power"}, {kNoon, kNoon + 2h}, 1h, 10)->size(), 2u);
}

TEST_F(StoreTest, corrects_a_rollup_by_what_comes_late) {
  commit({reading(kNoon, 1)});
  ASSERT_TRUE(store->maintain(kNoon + 2h));
  commit({reading(kNoon + 10min, 9), reading(kNoon, 2)});
  ASSERT_TRUE(store->maintain(kNoon + 3h));
  const auto hours = Reader(store->path()).aggregate({"D1", "power"}, {kNoon, kNoon + 1h}, 1h, 100);
  ASSERT_EQ(hours->size(), 1u);
  EXPECT_EQ(hours->front(), (Rollup{kNoon, 2, 2, 9, 11, 2, 9}));
}

TEST_F(StoreTest, keeps_the_rollup_of_an_hour_the_ring_has_overwritten) {
  commit({reading(kNoon, 1), reading(kNoon + 1min, 3)});
  ASSERT_TRUE(store->maintain(kNoon + 2h));
  for (int i = 0; i < 1500; ++i) {
    auto wide = reading(kNoon + 5h + i * 1s, i);
    for (int j = 0; j < 200; ++j) wide.fields.push_back({"f" + std::to_string(j), i * 1.7 + j * 0.3});
    commit({wide});
  }
  ASSERT_TRUE(range(kNoon, kNoon + 1h).empty()) << "the ring was meant to have overwritten this hour";
  commit({reading(kNoon + 2min, 8)});
  ASSERT_TRUE(store->maintain(kNoon + 8h));
  const auto hours = Reader(store->path()).aggregate({"D1", "power"}, {kNoon, kNoon + 1h}, 1h, 100);
  ASSERT_EQ(hours->size(), 1u);
  EXPECT_EQ(hours->front(), (Rollup{kNoon, 3, 1, 8, 12, 1, 8})) << "a late sample must add to what was kept";
}

TEST_F(StoreTest, sums_raw_buckets_and_hours_to_the_same) {
  std::vector<Reading> readings;
  for (int i = 0; i < 240; ++i) readings.push_back(reading(kNoon + i * 1min, i));
  commit(readings);
  Reader reader(store->path());
  const auto before = reader.aggregate({"D1", "power"}, {kNoon, kNoon + 4h}, 1h, 100);
  while (*store->maintain(kNoon + 10h)) {
  }
  const auto after = reader.aggregate({"D1", "power"}, {kNoon, kNoon + 4h}, 1h, 100);
  ASSERT_EQ(before->size(), 4u);
  EXPECT_EQ(*before, *after);
  const auto quarters = reader.aggregate({"D1", "power"}, {kNoon, kNoon + 4h}, 15min, 100);
  EXPECT_EQ(quarters->size(), 16u);
  const auto cut = reader.aggregate({"D1", "power"}, {kNoon, kNoon + 90min}, 1h, 100);
  ASSERT_EQ(cut->size(), 2u);
  EXPECT_EQ((*cut)[1].count, 30);
}

TEST_F(StoreTest, hands_a_sink_whole_segments_after_its_cursor) {
  const auto first = commit({reading(kNoon, 1)});
  const auto second = commit({reading(kNoon + 1s, 2), reading(kNoon + 2s, 3)});
  Reader reader(store->path());
  auto batch = reader.batch_after(0, 1);
  EXPECT_EQ(batch->last_seq, first);
  EXPECT_EQ(batch->readings.size(), 1u);
  batch = reader.batch_after(first, 1000);
  EXPECT_EQ(batch->last_seq, second);
  EXPECT_EQ(batch->readings.size(), 2u);
  EXPECT_EQ(batch->readings[0].device_version, 1u);
  EXPECT_EQ(reader.batch_after(second, 1000)->last_seq, 0u);
  EXPECT_EQ(reader.device_version("D1", 1)->device_type, "bulb");
}

TEST_F(StoreTest, keeps_dead_letters_verbatim_and_within_their_bound) {
  Group group;
  const std::string payload("not json\0at all", 15);
  group.dead_letters.push_back(
      {{.source = "mqtt", .topic = "devices/D1/telemetry", .payload = payload, .received = kNoon},
       Rejection::parse_error,
       "why"});
  ASSERT_TRUE(store->commit(group));
  Reader reader(store->path());
  const auto letter = *reader.dead_letter(1);
  ASSERT_TRUE(letter);
  EXPECT_EQ(letter->letter.message.payload, payload);
  EXPECT_EQ(letter->reason, "parse_error");
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(store->commit(group));
  EXPECT_LE(store->usage().dead_letters * 35, 1000);
  EXPECT_EQ(reader.dead_letters(1000, INT64_MAX)->size(), static_cast<std::size_t>(store->usage().dead_letters));
}

TEST_F(StoreTest, remembers_the_receipts_of_the_last_groups) {
  for (std::uint16_t i = 1; i <= 5; ++i) {
    Group group;
    group.receipts.push_back({"mqtt", i, i * 1000u});
    ASSERT_TRUE(store->commit(group));
  }
  open();
  const auto receipts = store->recent_receipts(3);
  ASSERT_EQ(receipts.size(), 3u);
  EXPECT_EQ(receipts[0], (Receipt{"mqtt", 3, 3000}));
  EXPECT_EQ(receipts[2], (Receipt{"mqtt", 5, 5000}));
}

TEST_F(StoreTest, writes_nothing_of_a_group_it_refuses) {
  Group group;
  group.devices.push_back({.id = "D1", .name = "D1", .version = 1});
  group.readings = {reading(kNoon, 1), reading(kNoon, 1, "nobody")};
  const auto refused = store->commit(group);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::permanent);
  EXPECT_TRUE(store->devices().empty());
  EXPECT_EQ(commit({reading(kNoon, 1)}), 1u);
  EXPECT_EQ(range(kNoon, kNoon + 1s).size(), 1u);
}

TEST_F(StoreTest, leaves_a_database_it_cannot_read_and_collects_beside_it) {
  store.reset();
  const auto path = directory + "/wattd.db";
  for (const auto* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path + suffix);
  std::ofstream(path) << std::string(8192, '\0') + "power cut";
  open();
  EXPECT_EQ(store->path(), directory + "/wattd-2.db");
  EXPECT_NE(store->set_aside().find("wattd.db cannot be used"), std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(path), 8201u) << "the damaged file must stay as it is";
  EXPECT_EQ(commit({reading(kNoon, 1)}), 1u);
}

TEST_F(StoreTest, refuses_a_newer_schema_without_touching_it) {
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

TEST_F(StoreTest, archives_a_provisioned_rule_that_left_the_files) {
  const Rule rule{.id = "r1",
                  .name = "hot",
                  .device_ids = {"a\"b", "c,d"},
                  .property = "temperature",
                  .threshold = 50,
                  .origin = "x:1"};
  ASSERT_TRUE(store->provision_rules({rule}, kNoon));
  ASSERT_EQ(store->rules().size(), 1u);
  EXPECT_EQ(store->rules()[0], rule);
  ASSERT_TRUE(store->provision_rules({}, kNoon));
  EXPECT_EQ(store->rules()[0].status, RuleStatus::archived);
}

}  // namespace
}  // namespace wattd::storage
