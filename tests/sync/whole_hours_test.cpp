// What goes to stores of files: every hour that was touched, whole.
#include "sync/whole_hours.h"

#include <map>

#include "sync/delivery.h"
#include "tests/storage/store_fixture.h"
#include "tests/sync/fakes.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;
using storage::kNoon;
using storage::Position;

struct WholeHoursTest : storage::StoreFixture {
  std::unique_ptr<Source> source() { return whole_hour_source(std::make_unique<storage::Reader>(store->path())); }
  /// Readings of each hour of a device, of all batches up to the end.
  std::map<std::string, int> all(Source& from, Position& at) {
    std::map<std::string, int> counts;
    for (int i = 0; i < 100; ++i) {
      const auto batch = from.batch_after(at, 10, UINT64_MAX);
      EXPECT_TRUE(batch);
      if (batch->end == at) break;
      at = batch->end;
      std::map<std::string, int> here;
      for (const auto& rows : batch->parts) {
        for (std::size_t row = 0; row < rows.size(); ++row)
          ++here[rows.device_id + format_iso8601(rows.reading(row).at).substr(10, 3)];
      }
      for (const auto& [hour, count] : here) EXPECT_TRUE(counts.emplace(hour, count).second) << hour << " in two parts";
    }
    return counts;
  }
};

TEST_F(WholeHoursTest, an_hour_comes_whole_and_again_when_a_reading_of_it_comes) {
  commit({reading(kNoon, 1), reading(kNoon + 1min, 2), reading(kNoon + 1min, 2, "D2")});
  const auto hours = source();
  Position at;
  EXPECT_EQ(all(*hours, at), (std::map<std::string, int>{{"D1T12", 2}, {"D2T12", 1}}));
  commit({reading(kNoon + 2min, 3), reading(kNoon - 30min, 4)});
  EXPECT_EQ(all(*hours, at), (std::map<std::string, int>{{"D1T11", 1}, {"D1T12", 3}}));
  EXPECT_EQ(all(*hours, at), (std::map<std::string, int>{}));
}

TEST_F(WholeHoursTest, a_batch_ends_between_two_hours_and_goes_on_after_a_failure_where_it_began) {
  for (const auto* device : {"D1", "D2"}) {
    std::vector<Reading> readings;
    for (int i = 0; i < 3 * 12'000; ++i) readings.push_back(reading(kNoon + i * 300ms, i, device));
    commit(readings);
  }
  const auto hours = source();
  const auto first = hours->batch_after({}, 10, UINT64_MAX);
  EXPECT_EQ(first->size(), 24'000u);
  EXPECT_EQ(first->end.seq, 0u) << "a restart begins anew";
  const auto second = hours->batch_after(first->end, 10, UINT64_MAX);
  EXPECT_EQ(hours->batch_after(first->end, 10, UINT64_MAX)->end, second->end);
  Position at;
  const auto counts = all(*hours, at);
  EXPECT_EQ(counts.size(), 6u);
  for (const auto& [hour, count] : counts) EXPECT_EQ(count, 12'000) << hour;
  EXPECT_EQ(at, (Position{.seq = 2}));
}

TEST_F(WholeHoursTest, no_hour_is_cut_on_its_way_however_large_it_is) {
  struct WholeSink final : Sink {
    std::string pack(std::span<const Outgoing>) const override { return {}; }
    bool packs() const override { return false; }
    bool takes_whole_hours() const override { return true; }
    Taken deliver(std::string_view, std::span<const Outgoing> batch, const std::stop_token&) override {
      sizes.push_back(batch.size());
      return {};
    }
    std::string target() const override { return "fake"; }
    std::expected<std::string, NotTaken> probe(const std::stop_token&) override { return "fine"; }
    std::vector<std::size_t> sizes;
  };
  std::vector<Reading> readings;
  for (int i = 0; i < 3000; ++i) readings.push_back(reading(kNoon + i * 1s, i));
  commit(readings);
  const auto hours = source();
  auto owned = std::make_unique<WholeSink>();
  auto& sink = *owned;
  FakeLedger ledger;
  FakeClock clock;
  Delivery delivery({.id = "s3", .batch = 100}, std::move(owned), ledger, clock);
  auto batch = hours->batch_after({}, 100, UINT64_MAX);
  const auto parcel = delivery.pack(std::move(*batch), *hours);
  ASSERT_TRUE(delivery.send(*parcel, {}));
  EXPECT_EQ(sink.sizes, std::vector<std::size_t>{3000});
}

}  // namespace
}  // namespace wattd::sync
