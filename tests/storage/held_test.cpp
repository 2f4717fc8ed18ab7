#include "storage/held.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "storage/reader.h"
#include "storage/store.h"
#include "tests/storage/readings_of.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;

const Timestamp kNoon = from_unix_us(1'770'465'600'000'000);
const Timestamp kLongAgo = from_unix_us(1'000'000);  // as a board without a battery wakes up

struct HeldTest : testing::Test {
  HeldTest() { open(); }
  ~HeldTest() override { std::filesystem::remove_all(directory); }

  void open() {
    store.reset();
    store = std::make_unique<Store>(Options{
        .directory = directory, .ring_bytes = ring_bytes, .ballast_bytes = 0, .backups = 0, .waits_for_clock = true});
  }
  static Reading reading(Timestamp at, double power) {
    return {.device_id = "D1",
            .at = at,
            .received = at,
            .device_version = 1,
            .quality = Quality::clock_unsynced,
            .fields = {{"power", power}}};
  }
  void hold(const Boot& boot, std::vector<Reading> readings) {
    Group group{.devices = {{.id = "D1", .name = "D1", .type = "bulb", .version = 1}}};
    group.held = std::move(readings);
    group.boot = boot;
    const auto seq = store->commit(group);
    ASSERT_TRUE(seq) << seq.error().message;
  }
  void settle() {
    while (true) {
      const auto more = store->maintain(kNoon);
      ASSERT_TRUE(more) << more.error().message;
      if (!*more) return;
    }
  }
  std::vector<Sample> all() { return *Reader(store->path()).range({"D1", "power"}, kAlways, 10'000); }
  std::vector<Reading> for_sinks() { return readings_of(*Reader(store->path()).batch_after({}, 10'000)); }

  std::string directory =
      (std::filesystem::temp_directory_path() / ("wattd-held-" + std::to_string(getpid()))).string();
  std::int64_t ring_bytes = 1 << 20;
  std::unique_ptr<Store> store;
};

TEST_F(HeldTest, shows_held_readings_and_keeps_them_from_history_and_sinks) {
  hold({"a", kLongAgo, {}}, {reading(kLongAgo + 10s, 1), reading(kLongAgo + 11s, 2)});
  settle();
  EXPECT_TRUE(all().empty());
  EXPECT_TRUE(for_sinks().empty());
  EXPECT_EQ(store->usage().held_readings, 2);
  const auto latest = *Reader(store->path()).latest("D1");
  ASSERT_EQ(latest.size(), 1u);
  EXPECT_EQ(latest[0].sample, (Sample{kLongAgo + 11s, 2.0, Quality::clock_unsynced}));
}

TEST_F(HeldTest, puts_them_right_once_the_clock_is_known_even_after_a_restart) {
  hold({"a", kLongAgo, {}}, {reading(kLongAgo + 10s, 1)});
  open();
  // The program started again within the same boot, and the wrong clock had been set to another wrong time.
  hold({"a", kLongAgo + 1h, {}}, {reading(kLongAgo + 1h + 12s, 2)});
  ASSERT_TRUE(store->know_clock({"a", kLongAgo + 1h, kNoon}));
  open();
  settle();
  const auto samples = all();
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[0], (Sample{kNoon + 10s, 1.0}));
  EXPECT_EQ(samples[1], (Sample{kNoon + 12s, 2.0}));
  const auto sent = for_sinks();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].received, kNoon + 12s);
  EXPECT_EQ(store->usage().held_readings, 0);
  EXPECT_EQ(store->known_boot("a"), kNoon);
  EXPECT_FALSE(store->known_boot("b"));
}

TEST_F(HeldTest, takes_in_what_was_on_its_way_when_the_clock_became_known) {
  ASSERT_TRUE(store->know_clock({"a", kLongAgo, kNoon}));
  hold({"a", kLongAgo, kNoon}, {reading(kLongAgo + 5s, 1)});
  settle();
  ASSERT_EQ(all().size(), 1u);
  EXPECT_EQ(all()[0].at, kNoon + 5s);
}

TEST_F(HeldTest, places_boots_that_never_knew_the_time_before_the_next_one_and_says_estimated) {
  hold({"a", kLongAgo, {}}, {reading(kLongAgo + 10s, 1), reading(kLongAgo + 20s, 2)});
  hold({"b", kLongAgo, {}}, {reading(kLongAgo + 5s, 3)});
  hold({"c", kLongAgo, {}}, {reading(kLongAgo + 1s, 4)});
  ASSERT_TRUE(store->know_clock({"c", kLongAgo, kNoon}));
  settle();
  const auto samples = all();
  ASSERT_EQ(samples.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(samples[i].value, Value(static_cast<double>(i + 1)));
  EXPECT_EQ(samples[0].quality, Quality::estimated | Quality::clock_unsynced);
  EXPECT_EQ(samples[2].quality, Quality::estimated | Quality::clock_unsynced);
  EXPECT_EQ(samples[3], (Sample{kNoon + 1s, 4.0}));
  EXPECT_LT(samples[2].at, kNoon);
  EXPECT_EQ(samples[1].at - samples[0].at, 10s);
}

TEST_F(HeldTest, overwrites_the_oldest_when_there_are_too_many_and_counts_them) {
  ring_bytes = 4096;
  open();
  for (int i = 0; i < 200; ++i) hold({"a", kLongAgo, {}}, {reading(kLongAgo + i * 1s, i)});
  EXPECT_GT(store->usage().held_lost, 0u);
  EXPECT_EQ(store->usage().held_lost + static_cast<std::uint64_t>(store->usage().held_readings), 200u);
}

TEST_F(HeldTest, puts_the_arrival_of_refused_messages_right) {
  Group group;
  group.boot = {"a", kLongAgo, {}};
  group.dead_letters.push_back({.message = {.source = "mqtt",
                                            .topic = "t",
                                            .payload = "{",
                                            .received = kLongAgo + 3s,
                                            .received_quality = Quality::clock_unsynced},
                                .reason = Rejection::parse_error,
                                .detail = "not JSON"});
  ASSERT_TRUE(store->commit(group));
  auto letter = (*Reader(store->path()).dead_letters(9, INT64_MAX)).at(0).letter;
  EXPECT_EQ(letter.message.received_quality, Quality::clock_unsynced);
  ASSERT_TRUE(store->know_clock({"a", kLongAgo, kNoon}));
  letter = (*Reader(store->path()).dead_letters(9, INT64_MAX)).at(0).letter;
  EXPECT_EQ(letter.message.received, kNoon + 3s);
  EXPECT_EQ(letter.message.received_quality, Quality::good);
}

}  // namespace
}  // namespace wattd::storage
