#include "sync/shipper.h"

#include <fmt/format.h>

#include <algorithm>

#include "telemetry/json_text.h"
#include "telemetry/log.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

constexpr auto kFirstPause = 500ms;
constexpr auto kLookAgain = 1s;
constexpr std::size_t kRefusesEverything = 20;
constexpr std::size_t kRemembered = 10'000;
constexpr auto kSlow = 2s;   // for an answer, and live readings wait behind it
constexpr auto kQuick = 1s;  // and there is room for more
constexpr std::size_t kSmallestBatch = 10;
constexpr int kBarren = 3;                // failures, each after something was sent, before anything of it settled
constexpr auto kLate = 1min;              // what is older lets newer readings pass
constexpr std::uint64_t kPiece = 5 * 60;  // segments that are sent in order where the newest come first

class DatabaseSource final : public Source {
 public:
  explicit DatabaseSource(const storage::Store& store) : reader_(store.path(), store.vault()) {}
  Result<storage::Batch> batch_after(const storage::Position& position, std::size_t max_readings,
                                     std::uint64_t last) override {
    return reader_.batch_after(position, max_readings, last);
  }
  Result<std::uint64_t> last() override { return reader_.last_segment(); }
  Result<storage::DeviceVersion> device_version(const std::string& device_id, std::uint32_t version) override {
    return reader_.device_version(device_id, version);
  }

 private:
  storage::Reader reader_;
};

}  // namespace

std::unique_ptr<Source> database_source(const storage::Store& store) { return std::make_unique<DatabaseSource>(store); }

Shipper::Shipper(SinkConfig config, storage::Cursor cursor, std::unique_ptr<Source> source, std::unique_ptr<Sink> sink,
                 Ledger& ledger, const Clock& clock)
    : config_(std::move(config)),
      source_(std::move(source)),
      sink_(std::move(sink)),
      ledger_(ledger),
      clock_(clock),
      batch_(config_.batch),
      jitter_(std::random_device{}()) {
  // What was sent but not settled before the restart is sent again.
  auto settled = cursor.settled;
  for (const auto& [from, to] : cursor.done) {
    if (from > settled) late_.push_back({.settled = {.seq = settled}, .end = from, .read = {.seq = settled}});
    settled = std::max(settled, to);
  }
  live_ = {.settled = {.seq = settled}, .read = {.seq = settled}};
  if (config_.start_delay > 0s) {
    std::uniform_int_distribution<std::int64_t> any(0, std::chrono::milliseconds{config_.start_delay}.count());
    begins_at_ = clock_.monotonic() + std::chrono::milliseconds{any(jitter_)};
  }
  status_ = {.id = config_.id, .target = sink_->target(), .cursor = this->cursor()};
}

void Shipper::wake() {
  {
    const std::scoped_lock lock(mutex_);
    has_new_ = true;
  }
  woken_.notify_one();
}

ShipperStatus Shipper::status() const {
  const std::scoped_lock lock(mutex_);
  return status_;
}

void Shipper::run(const std::stop_token& stop) {
  stop_ = stop;
  const std::stop_callback wake_up(stop, [this] { woken_.notify_all(); });
  while (!stop.stop_requested()) {
    const auto next = step(clock_.monotonic());
    std::unique_lock lock(mutex_);
    const bool failing = failures_in_row_ > 0;
    woken_.wait_until(lock, next, [&] { return stop.stop_requested() || (has_new_ && !failing); });
  }
}

Instant Shipper::step(Instant now) {
  // A fleet that was switched on together does not come together.
  if (now < begins_at_) return begins_at_;
  settle(now);
  {
    const std::scoped_lock lock(mutex_);
    has_new_ = false;
  }
  if (unsettled() >= window_) return first_settles();
  if (const auto sent = send_next(live_, now); !sent) return after_failure(sent.error(), clock_.monotonic());
  else if (*sent) return now;
  auto* late = late_lane();
  if (late == nullptr) return now + kLookAgain;
  if (late_at_ > now) return std::min(late_at_, now + kLookAgain);
  if (const auto sent = send_next(*late, now); !sent) return after_failure(sent.error(), clock_.monotonic());
  return now;
}

/// Sends the next batch of a lane. False when there is none.
std::expected<bool, NotTaken> Shipper::send_next(Lane& lane, Instant now) {
  const auto ready = next_of(lane);
  if (!ready) return std::unexpected(ready.error());
  const auto& batch = ready->batch;
  if (batch.end == lane.read) {
    lane.end = std::min(lane.end, lane.read.seq);  // there is no more of it
    if (&lane == &live_) lane.end = UINT64_MAX;
    return false;
  }
  if (&lane == &live_ && fall_behind(batch)) return true;
  // Where there is more, it is read and encoded while the store is busy with this.
  std::future<Result<Ready>> next;
  if (ready->readings.size() >= batch_) {
    const Wanted wanted{.from = batch.end, .end = lane.end, .most = batch_};
    next = std::async(std::launch::async, [this, wanted] { return make_ready(wanted); });
  }
  auto sent = send(*ready);
  if (next.valid()) {
    if (auto made = next.get(); made && sent) ahead_ = std::move(*made);
  }
  if (!sent) return std::unexpected(sent.error());
  if (&lane != &live_ && config_.backfill_rate > 0)
    late_at_ = now + std::chrono::nanoseconds{1'000'000'000 * ready->readings.size() / config_.backfill_rate};
  after_success(lane, batch.end, clock_.monotonic());
  return true;
}

Result<Shipper::Ready> Shipper::next_of(const Lane& lane) {
  const Wanted wanted{.from = lane.read, .end = lane.end, .most = batch_};
  if (ahead_ && ahead_->wanted == wanted) {
    auto ready = std::move(*ahead_);
    ahead_.reset();
    return ready;
  }
  return make_ready(wanted);
}

Result<Shipper::Ready> Shipper::make_ready(const Wanted& wanted) const {
  auto batch = source_->batch_after(wanted.from, wanted.most, wanted.end);
  if (!batch) return std::unexpected(batch.error());
  Ready ready{.wanted = wanted, .batch = std::move(*batch)};
  ready.readings.reserve(ready.batch.size());
  for (const auto& rows : ready.batch.parts) {
    std::optional<std::uint32_t> known;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (const auto version = rows.block->versions[row]; known != version) {
        auto found = source_->device_version(rows.device_id, version);
        if (!found) return std::unexpected(found.error());
        ready.versions.push_back(std::move(*found));
        known = version;
      }
      ready.readings.push_back({&rows, row, &ready.versions.back()});
    }
  }
  if (!ready.readings.empty()) ready.parcel = sink_->pack(ready.readings);
  return ready;
}

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
                         .sent = late_.empty() ? live_.read.seq : late_.front().settled.seq};
  for (std::size_t i = 0; i < late_.size(); ++i) {
    const auto next = i + 1 < late_.size() ? late_[i + 1].settled.seq : live_.settled.seq;
    if (late_[i].end < next) cursor.done.push_back({late_[i].end, next});
  }
  return cursor;
}

void Shipper::save() {
  ledger_.save(cursor());
  const std::scoped_lock lock(mutex_);
  status_.cursor = cursor();
  status_.backfill_segments = 0;
  for (const auto& lane : late_) status_.backfill_segments += lane.end - std::min(lane.end, lane.read.seq);
}

Taken Shipper::send(const Ready& ready) {
  refused_.clear();
  taken_ = false;
  if (auto sent = send_or_bisect(ready.readings, ready); !sent) return sent;
  if (taken_) refused_in_row_ = 0;
  else if ((refused_in_row_ += refused_.size()) > kRefusesEverything) return refuses_everything();
  for (const auto& [outgoing, why] : refused_) set_aside(outgoing, why);
  return {};
}

Taken Shipper::send_or_bisect(std::span<const Outgoing> part, const Ready& ready) {
  if (part.empty()) return {};
  if (stop_.stop_requested()) return fail(ErrorKind::retry, "stopping");
  const auto began = clock_.monotonic();
  const bool is_whole = part.size() == ready.readings.size();
  auto sent = sink_->deliver(is_whole ? ready.parcel : sink_->pack(part), part, stop_);
  adapt(part.size(), clock_.monotonic() - began);
  if (sent) {
    taken_ = true;
    const std::scoped_lock lock(mutex_);
    status_.sent_readings += part.size();
    for (const auto& outgoing : part) status_.sent_samples += outgoing.rows->numeric_samples(outgoing.row);
    return {};
  }
  if (sent.error().is_too_large) batch_ = std::clamp(part.size() / 2, std::size_t{1}, batch_);
  if (sent.error().kind != ErrorKind::permanent) return sent;
  if (part.size() == 1) {
    refused_.emplace_back(part[0], sent.error().message);
    // One after the other and none taken: before the rest is tried singly, too, the last one has to tell.
    if (taken_ || refused_.size() != kRefusesEverything) return {};
    const auto last = std::span(ready.readings).last(1);
    if (!sink_->deliver(sink_->pack(last), last, stop_)) return refuses_everything();
    taken_ = true;
    return {};
  }
  const auto half = part.size() / 2;
  if (auto first = send_or_bisect(part.first(half), ready); !first) return first;
  return send_or_bisect(part.subspan(half), ready);
}

/// Requests are as large as the link answers quickly to.
void Shipper::adapt(std::size_t sent, Instant::duration took) {
  if (took > kSlow) batch_ = std::max(std::min(batch_, sent) / 2, std::min(kSmallestBatch, config_.batch));
  else if (took < kQuick && sent >= batch_) batch_ = std::min(batch_ + batch_ / 2 + 1, config_.batch);
}

Taken Shipper::refuses_everything() const {
  // A store like that is not about these readings: a wrong database, or a proxy in between.
  return fail(ErrorKind::retry,
              fmt::format("it refuses everything, so nothing is thrown away: {}", refused_.back().second));
}

void Shipper::set_aside(const Outgoing& outgoing, const std::string& why) {
  if (set_aside_.size() >= kRemembered) set_aside_.clear();
  const auto reading = outgoing.reading();
  if (!set_aside_.emplace(reading.device_id, reading.at).second) return;
  log::warning(fmt::format("{}: a reading of {} was refused for good: {}", config_.id, reading.device_id, why),
               {{"SINK", config_.id}});
  ledger_.set_aside({message_of(reading, config_.id), Rejection::upstream_rejected, why});
  const std::scoped_lock lock(mutex_);
  status_.refused_readings += 1;
}

void Shipper::settle(Instant now) {
  bool any = false;
  const auto settle_lane = [&](Lane& lane) {
    while (!lane.unsettled.empty() && now - lane.unsettled.front().at >= config_.settle) {
      lane.settled = lane.unsettled.front().end;
      lane.unsettled.pop_front();
      any = true;
    }
  };
  settle_lane(live_);
  for (auto& lane : late_) settle_lane(lane);
  any = std::erase_if(late_, [](const Lane& lane) { return lane.settled.seq >= lane.end; }) > 0 || any;
  if (!any) return;
  barren_ = 0;
  if (window_ < SIZE_MAX / 2) window_ *= 2;
  save();
}

Instant Shipper::after_failure(const NotTaken& problem, Instant now) {
  // A store that went away may have lost what it had answered for since it last settled. Where the link fails more
  // often than that takes, fewer are left open, down to one: it settles while nothing has to be sent.
  if (unsettled() > 0 && ++barren_ >= kBarren) window_ = std::max(unsettled() / 2, std::size_t{1});
  const auto begin_again = [](Lane& lane) {
    lane.read = lane.settled;
    lane.unsettled.clear();
  };
  begin_again(live_);
  std::ranges::for_each(late_, begin_again);
  const auto longest = std::chrono::duration_cast<std::chrono::milliseconds>(config_.max_pause);
  const auto pause = std::min<std::chrono::milliseconds>(kFirstPause * (1 << std::min(failures_in_row_, 10)), longest);
  if (problem.kind == ErrorKind::retry) batch_ = std::max(batch_ / 2, std::min(kSmallestBatch, config_.batch));
  if (failures_in_row_++ == 0) {
    log::warning(fmt::format("{}: {}; keeping the readings and trying again", config_.id, problem.message),
                 {{"SINK", config_.id}});
  }
  const std::scoped_lock lock(mutex_);
  status_.failures += 1;
  status_.last_error = problem.message;
  status_.cursor = cursor();
  // Full jitter: a fleet that lost the same store must not come back in step.
  return now + problem.wait + pause * std::uniform_int_distribution(50, 100)(jitter_) / 100;
}

void Shipper::after_success(Lane& lane, const storage::Position& end, Instant now) {
  if (failures_in_row_ > 0) log::notice(fmt::format("{}: sending again", config_.id), {{"SINK", config_.id}});
  failures_in_row_ = 0;
  lane.read = end;
  lane.unsettled.push_back({end.seq < lane.end ? end : storage::Position{.seq = lane.end}, now});
  const std::scoped_lock lock(mutex_);
  status_.cursor = cursor();
  status_.backfill_segments = 0;
  for (const auto& late : late_) status_.backfill_segments += late.end - std::min(late.end, late.read.seq);
  status_.last_error.clear();
  status_.last_success = clock_.now();
}

}  // namespace wattd::sync
