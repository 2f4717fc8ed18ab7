// Which segments a sink still owes, in lanes: what is live, and what has become late.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sync/shipper.h"
#include "telemetry/log.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

constexpr auto kLate = 1min;              // what is older lets newer readings pass
constexpr std::uint64_t kPiece = 5 * 60;  // segments that are sent in order where the newest come first
constexpr auto kCount = 10s;              // how often what waits is counted

}  // namespace

/// Whether what comes next is late, and there is newer: then it becomes a lane of its own.
bool Shipper::fall_behind(const storage::Batch& batch) {
  if (batch.parts.empty()) return false;
  const auto& last_rows = batch.parts.back();
  if (clock_.now() - last_rows.received(last_rows.size() - 1) < kLate) return false;
  const auto last = source_->last();
  if (!last || *last <= batch.end.seq) return false;
  const bool goes_on = !late_.empty() && late_.back().end == live_.settled.seq && live_.unsettled.empty();
  if (goes_on) {
    // Upstream is still away: it is one lane, however long that takes.
    late_.back().end = *last;
    live_ = {.settled = {.seq = *last}, .read = {.seq = *last}};
    return true;
  }
  live_.end = *last;
  late_.push_back(std::move(live_));
  live_ = {.settled = {.seq = *last}, .read = {.seq = *last}};
  log::notice(fmt::format("{}: what is late goes beside live readings: {} segments", config_.id,
                          late_.back().end - late_.back().settled.seq),
              {{"SINK", config_.id}});
  save();
  return true;
}

/// What is to be sent next of what is late.
Shipper::Lane* Shipper::late_lane() {
  if (config_.newest_first) {
    // In pieces from the end, so that what a plant looks at first is there first.
    for (auto lane = late_.rbegin(); lane != late_.rend(); ++lane) {
      if (lane->is_sent()) continue;
      const auto middle = lane->end - std::min(lane->end - lane->read.seq, kPiece);
      if (lane->unsettled.empty() && lane->read == lane->settled && middle > lane->settled.seq) {
        const auto end = std::exchange(lane->end, middle);
        const auto place =
            late_.insert(lane.base(), Lane{.settled = {.seq = middle}, .end = end, .read = {.seq = middle}});
        return &*place;
      }
      return &*lane;
    }
    return nullptr;
  }
  const auto lane = std::ranges::find_if(late_, [](const Lane& one) { return !one.is_sent(); });
  return lane == late_.end() ? nullptr : &*lane;
}

std::optional<Timestamp> Shipper::waiting_since() const {
  auto since = live_.waiting_since;
  for (const auto& lane : late_) {
    if (lane.is_sent() || !lane.waiting_since) continue;
    since = since ? std::min(*since, *lane.waiting_since) : *lane.waiting_since;
  }
  return since;
}

std::size_t Shipper::unsettled() const {
  auto count = live_.unsettled.size();
  for (const auto& lane : late_) count += lane.unsettled.size();
  return count;
}

Instant Shipper::first_settles() const {
  auto first = Instant::max();
  const auto look = [&](const Lane& lane) {
    if (!lane.unsettled.empty()) first = std::min(first, lane.unsettled.front().at + config_.settle);
  };
  look(live_);
  for (const auto& lane : late_) look(lane);
  return first;
}

storage::Cursor Shipper::cursor() const {
  storage::Cursor cursor{.sink_id = config_.id,
                         .settled = late_.empty() ? live_.settled.seq : late_.front().settled.seq,
                         .sent = late_.empty() ? live_.read.seq : late_.front().settled.seq,
                         .paused = paused_};
  if (budget_) {
    const auto spent = budget_->spent();
    cursor.spent_on = spent.date;
    cursor.spent_bytes = spent.bytes;
  }
  for (std::size_t i = 0; i < late_.size(); ++i) {
    const auto next = i + 1 < late_.size() ? late_[i + 1].settled.seq : live_.settled.seq;
    if (late_[i].end < next) cursor.done.push_back({late_[i].end, next});
  }
  return cursor;
}

std::uint64_t Shipper::late_segments() const {
  std::uint64_t count = 0;
  for (const auto& lane : late_) count += lane.end - std::min(lane.end, lane.read.seq);
  return count;
}

/// How much waits, since when, and how fast it goes.
void Shipper::count_what_waits(Instant now) {
  if (counted_at_ != Instant{} && now - counted_at_ < kCount) return;
  const std::chrono::duration<double> passed = now - std::exchange(counted_at_, now);
  const auto sent = delivery_.counts().readings;
  const auto since = sent - std::exchange(counted_readings_, sent);
  if (config_.over_budget_alone && !stands_in_) return;
  std::uint64_t waiting = 0;
  const auto add = [&](const Lane& lane) {
    if (lane.is_sent()) return;
    if (const auto count = source_->readings_in_ring(lane.read.seq, lane.end)) waiting += *count;
  };
  add(live_);
  std::ranges::for_each(late_, add);
  const auto newest = source_->last();
  const std::scoped_lock lock(mutex_);
  if (newest) status_.newest = *newest;
  status_.waiting_readings = waiting;
  status_.rate = passed < 1h ? static_cast<double>(since) / passed.count() : 0;
}

}  // namespace wattd::sync
