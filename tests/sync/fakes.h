#pragma once
#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "sync/ledger.h"
#include "sync/sink.h"
#include "sync/source.h"
#include "telemetry/clock.h"
#include "tests/sync/outgoing.h"

namespace wattd::sync {

/// What is read ahead looks at the clock while a request lets time pass.
inline std::mutex fake_time;

/// A log of single-reading segments, and a store that takes or refuses them.
struct FakeSource final : Source {
  Result<storage::Batch> batch_after(const storage::Position& position, std::size_t max_readings,
                                     std::uint64_t last) override {
    ++reads;
    storage::Batch batch{.end = position, .parts = {}};
    std::vector<Reading> readings;
    const std::scoped_lock lock(fake_time);
    for (auto i = position.seq; i < std::min(count, last) && readings.size() < max_readings; ++i) {
      readings.push_back({.device_id = "D1",
                          .at = from_unix_us(static_cast<std::int64_t>(i)),
                          .received = i < late ? from_unix_us(0) : clock->now(),
                          .device_version = 1,
                          .fields = {{"p", 1.0}}});
      batch.end.seq = i + 1;
    }
    batch.parts = rows_of(readings);
    return batch;
  }
  Result<storage::DeviceVersion> device_version(const std::string& id, std::uint32_t) override {
    return storage::DeviceVersion{id, "t", "", "v1", ""};
  }
  const Calendar& calendar() const override { return utc; }
  Result<std::uint64_t> last() override { return count; }
  Result<std::uint64_t> readings_in_ring(std::uint64_t after, std::uint64_t to) override {
    return std::min(count, to) - std::min(after, std::min(count, to));
  }
  Result<std::vector<std::string>> devices() override {
    std::vector<std::string> ids;
    for (const auto& [id, readings] : stored) ids.push_back(id);
    return ids;
  }
  Result<storage::Batch> batch_of(const std::string& id, TimeRange range, std::size_t most) override {
    std::vector<Reading> found;
    for (const auto& reading : stored[id]) {
      if (reading.at >= range.from && reading.at < range.to && found.size() < most) found.push_back(reading);
    }
    return storage::Batch{.parts = rows_of(found)};
  }
  const Calendar utc;
  const Clock* clock = nullptr;
  std::uint64_t count = 0;
  int reads = 0;
  std::uint64_t late = 0;                              ///< So many came long ago.
  std::map<std::string, std::vector<Reading>> stored;  ///< By device, in order of time.
};

struct FakeSink final : Sink {
  std::string pack(std::span<const Outgoing>) const override { return {}; }
  bool packs() const override { return false; }
  Taken deliver(std::string_view, std::span<const Outgoing> batch, const std::stop_token&) override {
    ++requests;
    broken += closes;
    largest = std::max(largest, batch.size());
    {
      const std::scoped_lock lock(fake_time);
      clock->advance(takes);
    }
    if (down || lose-- == 0) {
      NotTaken problem({ErrorKind::retry, "down"});
      problem.wait = wait;
      return std::unexpected(problem);
    }
    if (batch.size() > most) {
      NotTaken problem({ErrorKind::permanent, "too large"});
      problem.is_too_large = true;
      return std::unexpected(problem);
    }
    if (refuses_all) return fail(ErrorKind::permanent, "no such database");
    for (const auto& outgoing : batch) {
      if (to_unix_us(outgoing.at()) == poison) return fail(ErrorKind::permanent, "no such thing");
    }
    for (const auto& outgoing : batch) {
      taken.push_back(to_unix_us(outgoing.at()));
      for (const auto& field : outgoing.reading().fields) held[outgoing.device_id()].emplace(outgoing.at(), field.name);
    }
    return {};
  }
  std::expected<Census, NotTaken> count(TimeRange range, const std::stop_token&) override {
    if (cannot_count) return fail(ErrorKind::unsupported, "cannot be asked");
    if (lose-- == 0) return fail(ErrorKind::retry, "away");
    Census census;
    for (const auto& [device, keys] : held) {
      const auto within =
          std::ranges::count_if(keys, [&](const auto& key) { return range.from <= key.first && key.first < range.to; });
      if (within > 0) census.values[device] = static_cast<std::uint64_t>(within);
    }
    return census;
  }
  std::string target() const override { return "fake"; }
  std::uint64_t breaks() const override { return broken; }
  std::uint64_t traffic() const override { return static_cast<std::uint64_t>(requests) * costs; }
  Taken confirm(const std::stop_token&) override {
    ++confirmed;
    broken += closes;
    if (dies_unseen) broken += std::exchange(dies_unseen, false);
    if (down) return fail(ErrorKind::retry, "down");
    return {};
  }
  std::expected<std::string, NotTaken> probe(const std::stop_token&) override { return "fine"; }
  FakeClock* clock = nullptr;
  std::chrono::microseconds takes{0};
  std::chrono::milliseconds wait{0};
  std::size_t most = SIZE_MAX, largest = 0;
  int requests = 0, confirmed = 0;
  std::uint64_t costs = 0;  ///< Bytes a request.
  int lose = -1;            ///< After so many.
  bool down = false;
  bool refuses_all = false;
  std::uint64_t broken = 0;
  bool closes = false;       ///< Every connection, without a word.
  bool dies_unseen = false;  ///< It is started anew while nothing is sent.
  std::int64_t poison = -1;
  std::vector<std::int64_t> taken;
  std::map<std::string, std::set<std::pair<Timestamp, std::string>>> held;  ///< Keys, by device.
  bool cannot_count = false;
};

struct FakeLedger final : Ledger {
  void save(const storage::Cursor& cursor) override { saved = cursor, ++saves; }
  void set_aside(DeadLetter letter) override { letters.push_back(std::move(letter)); }
  storage::Cursor saved;
  int saves = 0;
  std::vector<DeadLetter> letters;
};

}  // namespace wattd::sync
