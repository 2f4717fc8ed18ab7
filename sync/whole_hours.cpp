#include "sync/whole_hours.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "sync/touched.h"

namespace wattd::sync {
namespace {

using storage::Batch;
using storage::Position;

constexpr std::size_t kRowsAtOnce = 20'000;  // an hour goes whole, whatever it has

TimeRange hour_of(Timestamp at) {
  const auto from = std::chrono::floor<std::chrono::hours>(at);
  return {from, from + std::chrono::hours{1}};
}

class WholeHourSource final : public Source {
 public:
  explicit WholeHourSource(std::unique_ptr<storage::Reader> reader) : reader_(std::move(reader)) {}

  const Calendar& calendar() const override { return reader_->calendar(); }
  /// Nothing is ever late: hours go in the order in which readings touched them.
  Result<std::uint64_t> last() override { return 0; }

  Result<Batch> batch_after(const Position& position, std::size_t, std::uint64_t last) override {
    Batch batch{.end = position, .parts = {}};
    auto done = static_cast<std::size_t>(position.chunk);
    if (plan_.from != position.seq || done > plan_.hours.size() || plan_.hours.empty()) {
      auto made = plan(position.seq, last);
      if (!made) return std::unexpected(made.error());
      plan_ = std::move(*made);
      done = 0;
    }
    for (std::size_t rows = 0; done < plan_.hours.size() && rows < kRowsAtOnce; ++done) {
      const auto& [device, start] = plan_.hours[done];
      auto hour = batch_of(device, hour_of(start), SIZE_MAX);
      if (!hour) return std::unexpected(hour.error());
      rows += hour->size();
      std::ranges::move(hour->parts, std::back_inserter(batch.parts));
    }
    batch.end = {.seq = plan_.end};
    if (done < plan_.hours.size()) batch.end = {.seq = position.seq, .chunk = static_cast<std::int64_t>(done)};
    return batch;
  }

  Result<storage::DeviceVersion> device_version(const std::string& device_id, std::uint32_t version) override {
    return reader_->device_version(device_id, version);
  }
  Result<std::uint64_t> readings_in_ring(std::uint64_t after, std::uint64_t to) override {
    return reader_->readings_in_ring(after, to);
  }
  Result<std::vector<std::string>> devices() override { return reader_->devices(); }
  Result<Batch> batch_of(const std::string& device_id, TimeRange range, std::size_t) override {
    const auto kept = reader_->raw_floor();
    if (!kept) return std::unexpected(kept.error());
    // Of an hour that retention has begun to delete the store's file has more than there is here.
    if (range.from < *kept) return Batch();
    return reader_->batch_of(device_id, range, SIZE_MAX);
  }

 private:
  /// What is to be sent of a stretch of segments: a batch is a part of it, which its position's `chunk` counts.
  struct Plan {
    std::uint64_t from = 0, end = 0;
    std::vector<std::pair<std::string, Timestamp>> hours = {};
  };

  Result<Plan> plan(std::uint64_t from, std::uint64_t last) {
    const auto newest = reader_->last_segment();
    if (!newest) return std::unexpected(newest.error());
    Plan made{.from = from, .end = std::min(last, *newest)};
    if (made.end <= from) return Plan{.from = from, .end = from};
    Position position{.seq = from};
    const auto touched = touched_after(*reader_, position, made.end, SIZE_MAX, hour_of);
    if (!touched) return std::unexpected(touched.error());
    made.end = std::max(made.end, position.seq);
    for (const auto& [device, hours] : *touched) {
      for (const auto& [start, received] : hours) made.hours.emplace_back(device, start);
    }
    return made;
  }

  const std::unique_ptr<storage::Reader> reader_;
  Plan plan_;
};

}  // namespace

std::unique_ptr<Source> whole_hour_source(std::unique_ptr<storage::Reader> reader) {
  return std::make_unique<WholeHourSource>(std::move(reader));
}

}  // namespace wattd::sync
