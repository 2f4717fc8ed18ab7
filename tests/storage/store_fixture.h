#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "storage/reader.h"
#include "storage/store.h"

namespace wattd::storage {

using namespace std::chrono_literals;

inline const Timestamp kNoon = from_unix_us(1'770'465'600'000'000);  // 2026-02-07T12:00:00Z

/// A store in a directory of its own, and readings to fill it with.
struct StoreFixture : testing::Test {
  StoreFixture() { open(); }
  ~StoreFixture() override { std::filesystem::remove_all(directory); }

  void open() {
    store.reset();
    store = std::make_unique<Store>(options());
  }
  Options options() const {
    return {
        .directory = directory, .ring_bytes = ring_bytes, .dead_letter_bytes = 1000, .ballast_bytes = 0, .backups = 0};
  }

  static Reading reading(Timestamp at, double power, const std::string& device = "D1") {
    return {.device_id = device, .at = at, .received = at, .device_version = 1, .fields = {{"power", power}}};
  }
  static Reading wide(Timestamp at, double power) {
    auto made = reading(at, power);
    for (int j = 0; j < 200; ++j) made.fields.push_back({"f" + std::to_string(j), power * 1.7 + j * 0.3});
    return made;
  }
  /// Does all the work that waits.
  void settle(Timestamp now) {
    while (true) {
      const auto more = store->maintain(now);
      ASSERT_TRUE(more) << more.error().message;
      if (!*more) return;
    }
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

}  // namespace wattd::storage
