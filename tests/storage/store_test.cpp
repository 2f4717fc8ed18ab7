#include "storage/store.h"

#include <cmath>
#include <filesystem>
#include <set>

#include "tests/storage/readings_of.h"
#include "tests/storage/store_fixture.h"

namespace wattd::storage {
namespace {

struct StoreTest : StoreFixture {};

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

/// Commits so much that a ring of 1 MiB runs over several times.
TEST_F(StoreTest, overwrites_the_oldest_when_the_ring_is_full_and_finds_it_in_the_chunks) {
  store->set_sinks({"vm"});  // which never takes anything
  for (int i = 0; i < 4000; ++i) {
    Group group;
    if (i == 0) group.devices.push_back({.id = "D1", .name = "D1", .version = 1});
    group.readings.push_back(wide(kNoon + i * 1s, i));
    ASSERT_TRUE(store->commit(group));
    ASSERT_LE(store->usage().ring_bytes, ring_bytes);
  }
  EXPECT_GT(store->usage().compacted_seq, 0u);
  EXPECT_LT(store->usage().segments, 4000);
  const auto samples = range(kNoon, kNoon + 3h);
  ASSERT_EQ(samples.size(), 4000u);
  EXPECT_EQ(samples.front().value, Value(0.0));
  EXPECT_EQ(samples.back().value, Value(3999.0));
}

TEST_F(StoreTest, gives_a_sink_from_the_chunks_what_the_ring_has_overwritten) {
  store->set_sinks({"vm"});
  for (int i = 0; i < 3600; ++i) {
    Group group;
    if (i == 0) group.devices = {{.id = "D1", .name = "D1", .version = 1}, {.id = "D2", .name = "D2", .version = 1}};
    group.readings.push_back(wide(kNoon + i * 1min, i));
    if (i < 2000) group.readings.push_back(reading(kNoon + i * 1min, i, "D2"));
    ASSERT_TRUE(store->commit(group));
    if (i % 500 == 0) settle(kNoon + i * 1min);  // several rounds that reach into the ring
  }
  Reader reader(store->path());
  for (const std::size_t most : {7, 100, 333, 5000}) {
    std::set<std::pair<std::string, Timestamp>> keys;
    for (Position position;;) {
      const auto batch = reader.batch_after(position, most);
      ASSERT_TRUE(batch);
      if (batch->end == position) break;
      EXPECT_GE(batch->end.seq, position.seq);
      EXPECT_LE(batch->size(), most) << "pieces of chunks, too";
      for (const auto& one : readings_of(*batch)) keys.emplace(one.device_id, one.at);
      position = batch->end;
    }
    EXPECT_EQ(keys.size(), 5600u) << "every reading, though most segments are gone, " << most << " at once";
  }
}

TEST_F(StoreTest, a_burst_of_one_device_leaves_the_next_groups_with_it) {
  // Beyond some thousands of rows the memory of a device's block is given back; what follows is its own nevertheless.
  std::size_t total = 0;
  auto at = kNoon;
  for (const int rows : {3, 5000, 7, 20'000, 1, 4096, 4097, 2, 2}) {
    Group group;
    if (total == 0)
      group.devices = {{.id = "D1", .name = "D1", .version = 1}, {.id = "D2", .name = "D2", .version = 1}};
    for (int i = 0; i < rows; ++i) group.readings.push_back(reading(at += 1ms, i));
    group.readings.push_back(reading(at, 1, "D2"));
    total += static_cast<std::size_t>(rows);
    ASSERT_TRUE(store->commit(group));
  }
  Reader reader(store->path());
  EXPECT_EQ(reader.readings("D1", {}, kAlways, 1'000'000)->size(), total);
  EXPECT_EQ(reader.readings("D2", {}, kAlways, 1'000'000)->size(), 9u);
  settle(kNoon + 2h);
  EXPECT_EQ(reader.readings("D1", {}, kAlways, 1'000'000)->size(), total);
}

TEST_F(StoreTest, a_device_that_is_missing_keeps_no_other_from_a_sink) {
  Group group;
  group.devices = {{.id = "D1", .name = "D1", .version = 1}, {.id = "D2", .name = "D2", .version = 1}};
  group.readings = {reading(kNoon, 1), reading(kNoon, 2, "D2")};
  ASSERT_TRUE(store->commit(group));
  const auto path = store->path();
  store.reset();
  {
    Database database(path, Database::Mode::writer);
    database.execute("PRAGMA foreign_keys = OFF; DELETE FROM devices WHERE device_id = 'D2'");
  }
  const auto batch = Reader(path).batch_after({}, 10);
  ASSERT_TRUE(batch) << batch.error().message;
  ASSERT_EQ(batch->size(), 1u);
  EXPECT_EQ(readings_of(*batch)[0].device_id, "D1");
  open();
}

TEST_F(StoreTest, never_gives_a_number_twice_when_the_ring_was_empty) {
  const auto seq = commit({reading(kNoon, 1)});
  settle(kNoon + 2h);
  EXPECT_EQ(store->usage().segments, 0);
  open();
  EXPECT_EQ(commit({reading(kNoon + 3h, 1)}), seq + 1);
}

TEST_F(StoreTest, overwrites_the_oldest_raw_data_and_keeps_rollups_when_the_database_may_not_grow) {
  store.reset();
  std::filesystem::remove_all(directory);
  store = std::make_unique<Store>(Options{.directory = directory,
                                          .ring_bytes = ring_bytes,
                                          .database_bytes = 2 << 20,
                                          .ballast_bytes = 0,
                                          .backups = 0,
                                          .compaction = {.cells = 20'000}});
  Group group{.devices = {{.id = "D1", .name = "D1", .version = 1}}};
  for (int i = 0; i < 8'000; ++i) {
    auto noisy = reading(kNoon + i * 1min, i);
    for (int j = 0; j < 40; ++j) noisy.fields.push_back({"f" + std::to_string(j), std::sin(i * 41 + j)});
    group.readings = {noisy};
    const auto done = store->commit(group);
    ASSERT_TRUE(done) << i << ": " << done.error().message;
    group = {};
    settle(kNoon + i * 1min);
  }
  const auto all = range(kNoon, kNoon + 24h * 30);
  EXPECT_GT(all.front().at, kNoon) << "something has to go";
  EXPECT_EQ(all.back().value, Value(7'999.0));
  const auto hours = Reader(store->path()).aggregate({"D1", "power"}, {kNoon, kNoon + 24h * 30}, Step::days(), 100);
  EXPECT_EQ(hours->front().first, 0) << "rollups stay";
  EXPECT_LE(store->usage().database_bytes, 2 << 20);
}

TEST_F(StoreTest, takes_nothing_while_a_foreign_reader_holds_the_log_beyond_its_budget) {
  store.reset();
  store = std::make_unique<Store>(Options{.directory = directory, .wal_bytes = 1 << 20, .ballast_bytes = 0});
  commit({reading(kNoon, 1)});
  Database foreign(store->path(), Database::Mode::reader);
  foreign.execute("BEGIN");
  Statement(foreign, "SELECT count(*) FROM devices").step();
  int taken = 0;
  std::string why;
  for (int i = 1; i < 2000; ++i) {
    Group group;
    group.readings.push_back(wide(kNoon + i * 1s, i));
    const auto done = store->commit(group);
    if (!done) {
      EXPECT_EQ(done.error().kind, ErrorKind::retry);
      why = done.error().message;
      break;
    }
    ++taken;
  }
  EXPECT_NE(why.find("another program has"), std::string::npos) << why;
  EXPECT_LT(std::filesystem::file_size(store->path() + "-wal"), (1u << 20) + 100'000);
  foreign.execute("COMMIT");
  EXPECT_TRUE(commit({reading(kNoon + 3h, 1)}) > 0) << "it goes on by itself";
  EXPECT_EQ(range(kNoon, kNoon + 4h).size(), static_cast<std::size_t>(taken) + 2);
}

TEST_F(StoreTest, deletes_what_is_older_than_its_retention_once_it_is_archived) {
  struct Keeper : Archive {
    Result<void> keep(std::uint32_t, const Block& readings) override {
      if (refuses) return fail(ErrorKind::retry, "no");
      rows += readings.rows();
      return {};
    }
    std::size_t rows = 0;
    bool refuses = true;
  } keeper;
  store->set_archive(&keeper);
  commit({reading(kNoon, 1), reading(kNoon + 1min, 2)});
  settle(kNoon + 2h);
  commit({reading(kNoon + 24h * 100, 3)});
  settle(kNoon + 24h * 100 + 2h);
  EXPECT_EQ(range(kNoon, kNoon + 1h).size(), 2u) << "not archived, so not deleted";
  keeper.refuses = false;
  settle(kNoon + 24h * 100 + 4h);
  EXPECT_EQ(keeper.rows, 2u);
  EXPECT_TRUE(range(kNoon, kNoon + 1h).empty());
  EXPECT_EQ(Reader(store->path()).aggregate({"D1", "power"}, {kNoon, kNoon + 1h}, Step::hours(), 9)->front().sum, 3);
}

TEST_F(StoreTest, deletes_nothing_because_an_untrusted_clock_is_years_ahead) {
  commit({reading(kNoon, 1)});
  commit({reading(kNoon + 24h, 2)});
  settle(kNoon + 26h);
  store.reset();
  auto doubtful = options();
  doubtful.waits_for_clock = true;
  store = std::make_unique<Store>(doubtful);
  settle(kNoon + 24h * 3650);
  EXPECT_EQ(range(kNoon, kNoon + 48h).size(), 2u);
}

TEST_F(StoreTest, hands_a_sink_whole_segments_after_its_cursor) {
  const auto first = commit({reading(kNoon, 1)});
  const auto second = commit({reading(kNoon + 1s, 2), reading(kNoon + 2s, 3)});
  Reader reader(store->path());
  auto batch = reader.batch_after({}, 1);
  EXPECT_EQ(batch->end.seq, first);
  EXPECT_EQ(batch->size(), 1u);
  batch = reader.batch_after(batch->end, 1000);
  EXPECT_EQ(batch->end.seq, second);
  EXPECT_EQ(batch->size(), 2u);
  EXPECT_EQ(readings_of(*batch)[0].device_version, 1u);
  EXPECT_EQ(reader.batch_after(batch->end, 1000)->end, batch->end);
  EXPECT_EQ(reader.device_version("D1", 1)->device_type, "bulb");
}

TEST_F(StoreTest, hands_a_sink_a_large_segment_in_pieces) {
  Group group;
  for (int i = 0; i < 25; ++i) {
    group.readings.push_back(reading(kNoon + i * 1s, i));
    group.readings.push_back(reading(kNoon + i * 1s, i, "D2"));
  }
  const auto first = commit(group.readings);
  const Position before{.seq = first - 1};
  const auto second = commit({reading(kNoon + 1min, 1)});
  Reader reader(store->path());
  const auto pieces = [&](Reader& from, Position position) {
    std::vector<std::size_t> sizes;
    while (true) {
      const auto batch = from.batch_after(position, 20);
      if (batch->end == position) return sizes;
      sizes.push_back(batch->size());
      position = batch->end;
    }
  };
  EXPECT_EQ(pieces(reader, {}), (std::vector<std::size_t>{20, 20, 11})) << "the rest goes with the next segment";
  EXPECT_EQ(reader.batch_after(before, 20, first)->end, (Position{.seq = first - 1, .row = 20}));
  EXPECT_EQ(reader.batch_after({.seq = first - 1, .row = 40}, 20, first)->end, Position{.seq = first});
  Reader another(store->path());
  EXPECT_EQ(pieces(another, {.seq = first - 1, .row = 45}), (std::vector<std::size_t>{6}))
      << "what was opened elsewhere";
  EXPECT_EQ(another.batch_after({.seq = first}, 20)->end, Position{.seq = second});
  EXPECT_EQ(pieces(another, {.seq = first - 1, .round = second + 5, .chunk = 7, .row = 45}),
            (std::vector<std::size_t>{20, 20, 11}))
      << "rows of a chunk that was left for the ring";
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

}  // namespace
}  // namespace wattd::storage
