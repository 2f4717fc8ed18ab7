// Power cuts, full disks and I/O errors at any write, on a disk that forgets and tears what was not synced. After each:
// every reading whose commit returned is there, once; a group is there whole or not at all; rollups and energy are what
// a recomputation from the readings gives; the file is sound. WATTD_CRASHES says how many power cuts (100).
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>

#include "storage/reader.h"
#include "storage/store.h"
#include "tests/storage/faulty_disk.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;

const Timestamp kStart = from_unix_us(1'770'465'600'000'000);  // 2026-02-07T12:00:00Z
constexpr int kGroups = 60;

using Key = std::pair<std::string, Timestamp>;
using Stored = std::map<Key, std::map<std::string, double>>;

/// A plant whose meters repeat themselves, correct themselves, and speak late.
class Plant {
 public:
  explicit Plant(std::uint64_t seed) : random_(seed) {}

  Group next() {
    Group group;
    if (first_) {
      for (const auto* id : {"M1", "M2"})
        group.devices.push_back({.id = id, .name = id, .type = "meter", .version = 1});
    }
    first_ = false;
    now_ += std::chrono::seconds{1 + random_() % 300};
    for (const auto* id : {"M1", "M2"}) {
      energy_ += static_cast<double>(random_() % 50) / 10;
      group.readings.push_back(reading(id, now_, energy_));
    }
    if (random_() % 4 == 0) {
      const auto late = now_ - std::chrono::seconds{random_() % 20'000};
      group.readings.push_back(reading("M1", late, energy_ - std::chrono::duration<double>(now_ - late).count() / 600));
    }
    if (random_() % 4 == 0 && !said_.empty()) group.readings.push_back(said_[random_() % said_.size()]);
    if (random_() % 8 == 0 && !said_.empty()) {
      auto corrected = said_[random_() % said_.size()];
      corrected.fields[0].value = static_cast<double>(random_() % 1000) / 10;
      group.readings.push_back(corrected);
    }
    if (random_() % 6 == 0)
      group.cursors.push_back({.sink_id = "vm", .settled = settled_ += random_() % 8, .sent = settled_});
    said_.insert(said_.end(), group.readings.begin(), group.readings.end());
    return group;
  }
  Timestamp now() const { return now_; }

 private:
  Reading reading(const std::string& id, Timestamp at, double energy) {
    return {.device_id = id,
            .at = at,
            .received = now_,
            .device_version = 1,
            .fields = {{"power_total", static_cast<double>(random_() % 10'000) / 10},
                       {"energy_import_total", std::round(energy * 10) / 10}}};
  }
  std::mt19937_64 random_;
  std::vector<Reading> said_;
  Timestamp now_ = kStart;
  double energy_ = 1000;
  std::uint64_t settled_ = 0;
  bool first_ = true;
};

void add(Stored& stored, const Group& group) {
  for (const auto& reading : group.readings) {
    for (const auto& field : reading.fields)
      stored[{reading.device_id, reading.at}][field.name] = std::get<double>(field.value);
  }
}

const std::string kOldKey(64, '1');
const std::string kNewKey(64, '2');

int wanted_crashes() {
  const auto* wanted = std::getenv("WATTD_CRASHES");
  return wanted == nullptr ? 100 : std::atoi(wanted);
}

/// Between the writes that fail: sanitizers, which ask for few crashes, look at fewer of them.
std::uint64_t stride() { return wanted_crashes() < 50 ? 41 : 7; }

struct CrashTest : testing::Test {
  CrashTest() { std::filesystem::create_directories(directory); }
  ~CrashTest() override { std::filesystem::remove_all(directory); }

  Options options() const {
    return {.directory = directory,
            .zone = "Asia/Kolkata",
            .ring_bytes = 3000,
            .ballast_bytes = 0,
            .backups = 0,
            .compaction = {.cells = 120, .rows = 64, .small_rows = 20},
            .vault = vault};
  }
  std::unique_ptr<Store> open() {
    auto store = std::make_unique<Store>(options());
    store->set_sinks({"vm"});
    EXPECT_TRUE(store->describe_series(
        [](std::string_view, std::string_view field) { return SeriesFacts{.measurand = std::string(field)}; }));
    return store;
  }

  Stored read_all(Reader& reader) {
    Stored found;
    for (const auto* id : {"M1", "M2"}) {
      const auto readings = reader.readings(id, {}, kAlways, 1'000'000);
      EXPECT_TRUE(readings) << readings.error().message;
      Timestamp last{};
      for (const auto& reading : *readings) {
        EXPECT_GT(reading.at, last) << "a stamp came twice, or out of order";
        last = reading.at;
        for (const auto& field : reading.fields) found[{id, reading.at}][field.name] = std::get<double>(field.value);
      }
    }
    return found;
  }

  /// Rollups against a recomputation from the readings.
  void check_rollups(Reader& reader, const Stored& stored, const Calendar& calendar) {
    for (const std::string id : {"M1", "M2"}) {
      std::map<Timestamp, Rollup> hours;
      std::vector<Increment> increments;
      Counter counter({});
      for (const auto& [key, fields] : stored) {
        if (key.first != id) continue;
        hours[calendar.hour_of(key.second).from].add(fields.at("power_total"));
        for (const auto& increment : counter.take({key.second, fields.at("energy_import_total")}))
          increments.push_back(increment);
      }
      const auto power = reader.aggregate({id, "power_total"}, kAlways, Step::hours(), 1'000'000);
      ASSERT_TRUE(power);
      ASSERT_EQ(power->size(), hours.size()) << id;
      for (const auto& rollup : *power) {
        const auto& expected = hours[rollup.start];
        ASSERT_EQ(rollup.count, expected.count) << id << ' ' << format_iso8601(rollup.start);
        ASSERT_EQ(rollup.sum, expected.sum) << format_iso8601(rollup.start);
        ASSERT_EQ(std::tuple(rollup.min, rollup.max, rollup.first, rollup.last),
                  std::tuple(expected.min, expected.max, expected.first, expected.last));
      }
      const auto energy = reader.aggregate({id, "energy_import_total"}, kAlways, Step::hours(), 1'000'000);
      ASSERT_TRUE(energy);
      for (const auto& rollup : *energy) {
        const auto hour = calendar.hour_of(rollup.start);
        std::int64_t expected = 0;
        for (const auto& increment : increments) expected += increment.within(hour);
        ASSERT_EQ(rollup.milli.value_or(0), expected) << id << ' ' << format_iso8601(rollup.start);
      }
    }
  }

  void check(Store& store, const Stored& acknowledged, const Group* in_doubt) {
    Reader reader(store.path(), store.vault());
    const auto found = read_all(reader);
    if (found != acknowledged) {
      ASSERT_NE(in_doubt, nullptr) << "readings were lost, doubled or changed";
      auto with = acknowledged;
      add(with, *in_doubt);
      ASSERT_TRUE(found == with) << "a group is there in part, or an acknowledged reading is not";
    }
    check_rollups(reader, found, store.calendar());
    Database database(store.path(), Database::Mode::reader);
    Statement sound(database, "PRAGMA integrity_check");
    ASSERT_TRUE(sound.step());
    ASSERT_EQ(sound.text(0), "ok");
  }

  Vault vault;
  std::string directory =
      (std::filesystem::temp_directory_path() / ("wattd-crash-" + std::to_string(getpid()))).string();
};

TEST_F(CrashTest, loses_nothing_that_was_acknowledged_when_the_power_goes) {
  const int crashes = wanted_crashes();
  int cut = 0;
  for (int seed = 1; cut < crashes; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::filesystem::remove_all(directory);
    std::filesystem::create_directories(directory);
    FaultyDisk disk;
    Plant plant(static_cast<std::uint64_t>(seed));
    Stored acknowledged;
    // Every third time sealed, and with another key after the cut, which then has everything to seal anew.
    vault = seed % 3 == 0 ? Vault::parse(kOldKey).value() : Vault{};
    auto store = open();
    std::mt19937_64 random(static_cast<std::uint64_t>(seed) * 7919);
    disk.cut_power_after(random() % 2500, random());
    Group group;
    bool doubtful = false;
    for (int i = 0; i < kGroups && !disk.is_dead(); ++i) {
      group = plant.next();
      if (store->commit(group)) add(acknowledged, group);
      else doubtful = true;
      // Every second time in haste: the next group comes while a round is still being packed.
      for (auto more = store->maintain(plant.now()); seed % 2 == 0 && more && *more;)
        more = store->maintain(plant.now());
    }
    store.reset();
    if (disk.is_dead()) ++cut;
    disk.restore();
    if (vault.seals()) vault = Vault::parse(kNewKey + "\n" + kOldKey).value();
    store = open();
    ASSERT_EQ(store->set_aside(), "") << "a power cut must not make the file unusable";
    check(*store, acknowledged, doubtful ? &group : nullptr);
    if (HasFatalFailure()) return;
    // And it goes on as if nothing had been.
    for (auto more = store->maintain(plant.now() + 24h); more && *more;) more = store->maintain(plant.now() + 24h);
    check(*store, acknowledged, doubtful ? &group : nullptr);
    if (HasFatalFailure()) return;
  }
}

/// Runs the plant while writes from the `from`-th on fail, for `length` of them; every group is tried until it is
/// taken.
void fail_and_heal(CrashTest& test, int code, std::uint64_t from, std::uint64_t length, bool& reached) {
  std::filesystem::remove_all(test.directory);
  std::filesystem::create_directories(test.directory);
  FaultyDisk disk;
  Plant plant(42);
  Stored acknowledged;
  auto store = test.open();
  disk.fail_between(from, from + length, code);
  const auto failing_from = disk.operations() + from;
  for (int i = 0; i < kGroups / 2; ++i) {
    const auto group = plant.next();
    for (int tries = 0; tries < 100; ++tries) {
      const auto done = store->commit(group);
      if (done) break;
      ASSERT_EQ(done.error().kind, ErrorKind::retry) << done.error().message;
      ASSERT_LT(tries, 99) << "the store did not heal: " << done.error().message;
    }
    add(acknowledged, group);
    const auto more = store->maintain(plant.now());
    if (!more) {
      ASSERT_EQ(more.error().kind, ErrorKind::retry) << more.error().message;
    }
  }
  reached = disk.operations() > failing_from;
  test.check(*store, acknowledged, nullptr);
}

TEST_F(CrashTest, heals_by_itself_after_a_full_disk_at_any_write) {
  bool reached = true;
  for (std::uint64_t from = 1; reached; from += stride()) {
    SCOPED_TRACE("from write " + std::to_string(from));
    fail_and_heal(*this, SQLITE_FULL, from, 5, reached);
    if (HasFatalFailure()) return;
  }
}

TEST_F(CrashTest, heals_by_itself_after_an_input_output_error_at_any_write) {
  bool reached = true;
  for (std::uint64_t from = 1; reached; from += stride()) {
    SCOPED_TRACE("from write " + std::to_string(from));
    fail_and_heal(*this, from % 2 == 0 ? SQLITE_IOERR_WRITE : SQLITE_IOERR_FSYNC, from, 3, reached);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace wattd::storage
