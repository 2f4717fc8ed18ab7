#include "sync/shipper.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <utility>

#include "telemetry/log.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

constexpr auto kFirstPause = 500ms;
constexpr auto kLookAgain = 1s;
constexpr auto kSave = 10s;          // how often at least, while nothing is sent that settles
constexpr auto kPeek = 5s;           // how often it is looked, while nothing is sent, whether something waits
constexpr int kClosesSilently = 10;  // connections opened anew, one after the other, without a failure
constexpr int kBarren = 3;           // failures, each after something was sent, before anything of it settled

}  // namespace

double lag(const ShipperStatus& status, Timestamp now) {
  if (!status.waiting_since) return 0;
  return std::max(0.0, std::chrono::duration<double>(now - *status.waiting_since).count());
}

Shipper::Shipper(const SinkConfig& config, storage::Cursor cursor, std::unique_ptr<Source> source,
                 std::unique_ptr<Sink> sink, Ledger& ledger, const Clock& clock, std::shared_ptr<Budget> budget)
    : config_(config),
      source_(std::move(source)),
      delivery_(config, std::move(sink), ledger, clock, budget),
      ledger_(ledger),
      clock_(clock),
      jitter_(std::random_device{}()),
      paused_(cursor.paused),
      budget_(std::move(budget)) {
  if (budget_) budget_->recall({cursor.spent_on, cursor.spent_bytes});
  if (budget_ && config_.stream == Stream::readings) budget_->readings_reach(cursor.settled);
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
  status_ = {.id = config_.id,
             .target = delivery_.sink().target(),
             .stream = config_.stream,
             .cursor = this->cursor(),
             .paused = paused_,
             .budget = config_.budget,
             .rests = config_.start_delay > 0s};
}

void Shipper::wake() {
  {
    const std::scoped_lock lock(mutex_);
    has_new_ = true;
  }
  woken_.notify_one();
}

void Shipper::pause(bool paused) {
  paused_ = paused;
  {
    const std::scoped_lock lock(mutex_);
    status_.paused = paused;
    has_new_ = true;
  }
  woken_.notify_one();
}

/// Of a metered link, until the next day. What stands in for readings meanwhile has nothing to do at other times.
bool Shipper::waits_for_budget() {
  if (!budget_) return false;
  const auto date = source_->calendar().date_of(clock_.now());
  const bool is_short = budget_->is_short(date);
  if (config_.stream == Stream::readings) {
    budget_->readings_reach(cursor().settled);
    return is_short;
  }
  if (config_.over_budget_alone && std::exchange(stands_in_, is_short) != is_short && is_short) {
    const auto reached = std::max(budget_->reached(), live_.settled.seq);
    live_ = {.settled = {.seq = reached}, .read = {.seq = reached}};
    late_.clear();
    ahead_.reset();
  }
  return budget_->is_spent(date) || (config_.over_budget_alone && !is_short);
}

/// Paused, outside of its hours, or beyond its budget. What waits is counted nevertheless.
bool Shipper::is_at_rest() {
  bool rests = waits_for_budget();
  {
    const std::scoped_lock lock(mutex_);
    status_.waits_for_budget = rests && !(config_.over_budget_alone && !stands_in_);
    if (budget_) status_.spent = budget_->spent();
  }
  if (config_.hours) {
    const auto wall = source_->calendar().wall_at(clock_.now());
    rests = rests || !config_.hours->hold(wall.weekday, wall.minute);
  }
  // A pause holds over a restart.
  if (const bool paused = paused_; std::exchange(was_paused_, paused) != paused) save();
  {
    const std::scoped_lock lock(mutex_);
    status_.rests = was_paused_ || rests || (config_.over_budget_alone && !stands_in_);
  }
  if (config_.over_budget_alone && !stands_in_) return true;
  if (!was_paused_ && !rests) return false;
  if (!live_.waiting_since && clock_.monotonic() - peeked_at_ >= kPeek) {
    peeked_at_ = clock_.monotonic();
    const auto next = source_->batch_after(live_.read, 1, live_.end);
    if (next && !next->parts.empty()) live_.waiting_since = next->parts.front().received(0);
  }
  const std::scoped_lock lock(mutex_);
  status_.waiting_since = waiting_since();
  return true;
}

ShipperStatus Shipper::status() const {
  const auto counts = delivery_.counts();
  const std::scoped_lock lock(mutex_);
  auto status = status_;
  status.sent_readings = counts.readings;
  status.sent_samples = counts.samples;
  status.bytes = counts.bytes;
  status.refused_readings = counts.refused;
  return status;
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
  if (budget_) save();  // what was spent, at least
}

Instant Shipper::step(Instant now) {
  // A fleet that was switched on together does not come together.
  if (now < begins_at_) return begins_at_;
  settle();
  count_what_waits(now);
  {
    const std::scoped_lock lock(mutex_);
    has_new_ = false;
  }
  if (is_at_rest()) return idle(now, now + kLookAgain);
  if (unsettled() >= window_) return idle(now, first_settles());
  if (now < paced_until_) return idle(now, std::min(paced_until_, now + kLookAgain));
  if (const auto sent = send_next(live_, now); !sent) return after_failure(sent.error(), clock_.monotonic());
  else if (*sent) return now;
  paced_until_ = now + config_.pace;
  {
    const std::scoped_lock lock(mutex_);
    status_.waiting_since = waiting_since();
  }
  auto* late = late_lane();
  if (late == nullptr) return idle(now, now + kLookAgain);
  if (late_at_ > now) return idle(now, std::min(late_at_, now + kLookAgain));
  if (const auto sent = send_next(*late, now); !sent) return after_failure(sent.error(), clock_.monotonic());
  return now;
}

/// Sends the next batch of a lane. False when there is none.
std::expected<bool, NotTaken> Shipper::send_next(Lane& lane, Instant now) {
  const auto ready = next_of(lane);
  if (!ready) return std::unexpected(ready.error());
  const auto& batch = ready->parcel.batch;
  if (batch.end == lane.read) {
    lane.end = std::min(lane.end, lane.read.seq);  // there is no more of it
    if (&lane == &live_) lane.end = UINT64_MAX;
    lane.waiting_since.reset();
    return false;
  }
  if (!batch.parts.empty()) {
    lane.waiting_since = batch.parts.front().received(0);
    // An answer may be long in coming.
    const std::scoped_lock lock(mutex_);
    status_.waiting_since = waiting_since();
  }
  if (&lane == &live_ && fall_behind(batch)) {
    delivery_.forget_packed();
    return true;
  }
  if (budget_ && config_.stream == Stream::readings &&
      !budget_->has_room(source_->calendar().date_of(clock_.now()), ready->parcel.bytes.size())) {
    delivery_.forget_packed();
    return true;  // and rests from now on
  }
  const auto requests = delivery_.requests();
  if (auto sent = send(*ready, lane); !sent) return std::unexpected(sent.error());
  const bool was_heard = delivery_.requests() != requests;
  if (was_heard && store_began_anew()) return true;
  if (was_heard) heard_at_ = clock_.monotonic();
  if (&lane != &live_ && config_.backfill_rate > 0)
    late_at_ = now + std::chrono::nanoseconds{1'000'000'000 * batch.size() / config_.backfill_rate};
  after_success(lane, batch.end, was_heard, clock_.monotonic());
  return true;
}

/// Where there is more, it is read and encoded while the store is busy with this.
Taken Shipper::send(const Ready& ready, const Lane& lane) {
  std::future<Result<Ready>> next;
  if (ready.parcel.read >= delivery_.most()) {
    const Wanted wanted{.from = ready.parcel.batch.end, .end = lane.end, .most = delivery_.most()};
    next = std::async(std::launch::async, [this, wanted] { return make_ready(wanted); });
  }
  auto sent = delivery_.send(ready.parcel, stop_);
  delivery_.count_traffic(source_->calendar());
  if (next.valid()) {
    auto made = next.get();
    if (made && sent) ahead_ = std::move(*made);
    else delivery_.forget_packed();
  }
  return sent;
}

/// A connection that was opened anew, and had not been closed by the store, may lead to a store that was started anew,
/// and has lost what it had answered for lately: that is sent again, as after a failure.
bool Shipper::store_began_anew() {
  const auto breaks = delivery_.sink().breaks();
  if (std::exchange(breaks_, breaks) == breaks) {
    breaks_in_row_ = 0;
    return false;
  }
  if (unsettled() == 0) return false;
  if (++breaks_in_row_ >= kClosesSilently) {
    // No store is started anew so often without a request that fails: this one closes connections, and does not say so.
    if (breaks_in_row_ == kClosesSilently)
      log::warning(fmt::format("{}: the server closes every connection without announcing it, so that nobody can tell "
                               "whether it was started anew; answers settle by time alone",
                               config_.id),
                   {{"SINK", config_.id}});
    return false;
  }
  log::notice(fmt::format("{}: the connection was opened anew; what is not settled is sent again", config_.id),
              {{"SINK", config_.id}});
  begin_again();
  return true;
}

Result<Shipper::Ready> Shipper::next_of(const Lane& lane) {
  const Wanted wanted{.from = lane.read, .end = lane.end, .most = delivery_.most()};
  if (ahead_ && ahead_->wanted == wanted) {
    auto ready = std::move(*ahead_);
    ahead_.reset();
    return ready;
  }
  // What is made ready of late readings waits while live ones go before it.
  const auto is_live = [](const Wanted& one) { return one.end == UINT64_MAX; };
  // A record or an interval is sent as it is now, not as it was when another lane went before it.
  if (ahead_ && (config_.stream != Stream::readings || is_live(ahead_->wanted) == is_live(wanted))) {
    ahead_.reset();
    delivery_.forget_packed();
  }
  return make_ready(wanted);
}

Result<Shipper::Ready> Shipper::make_ready(const Wanted& wanted) {
  auto batch = source_->batch_after(wanted.from, wanted.most, wanted.end);
  if (!batch) return std::unexpected(batch.error());
  auto parcel = delivery_.pack(std::move(*batch), *source_);
  if (!parcel) return std::unexpected(parcel.error());
  return Ready{.wanted = wanted, .parcel = std::move(*parcel)};
}

void Shipper::save() {
  saved_at_ = clock_.monotonic();
  ledger_.save(cursor());
  const std::scoped_lock lock(mutex_);
  status_.cursor = cursor();
  status_.backfill_segments = late_segments();
}

/// Whether something has been answered for long enough before `until`.
bool Shipper::can_settle(Instant until) const {
  const auto can = [&](const Lane& lane) {
    return !lane.unsettled.empty() && until - lane.unsettled.front().at >= config_.settle;
  };
  return can(live_) || std::ranges::any_of(late_, can);
}

/// Nothing is sent until then. What was answered for long ago settles once the store was heard after that time and is
/// still the same: it may have been killed while nothing was sent, so now it is asked.
Instant Shipper::idle(Instant now, Instant until) {
  delivery_.sink().tend(stop_);
  if (!can_settle(now) || can_settle(heard_at_)) return until;
  if (const auto there = delivery_.sink().confirm(stop_); !there)
    return after_failure(there.error(), clock_.monotonic());
  if (store_began_anew()) return now;
  heard_at_ = now;
  settle();
  return now;
}

void Shipper::settle() {
  bool any = false;
  const auto settle_lane = [&](Lane& lane) {
    while (!lane.unsettled.empty() && heard_at_ - lane.unsettled.front().at >= config_.settle) {
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

/// A store that went away may have lost what it had answered for since it last settled.
void Shipper::begin_again() {
  // Where that happens more often than it settles, fewer are left open, down to one: it settles while nothing is sent.
  if (unsettled() > 0 && ++barren_ >= kBarren) window_ = std::max(unsettled() / 2, std::size_t{1});
  const auto back = [](Lane& lane) {
    lane.read = lane.settled;
    lane.unsettled.clear();
  };
  back(live_);
  std::ranges::for_each(late_, back);
  ahead_.reset();
  delivery_.forget_packed();
}

Instant Shipper::after_failure(const NotTaken& problem, Instant now) {
  begin_again();
  if (budget_ && now - saved_at_ >= kSave) save();
  breaks_ = delivery_.sink().breaks();
  breaks_in_row_ = 0;
  const auto longest = std::chrono::duration_cast<std::chrono::milliseconds>(config_.max_pause);
  const auto pause = std::min<std::chrono::milliseconds>(kFirstPause * (1 << std::min(failures_in_row_, 10)), longest);
  if (problem.kind == ErrorKind::retry) delivery_.ask_less();
  if (failures_in_row_++ == 0) {
    log::warning(fmt::format("{}: {}; keeping the readings and trying again", config_.id, problem.message),
                 {{"SINK", config_.id}});
  }
  const std::scoped_lock lock(mutex_);
  status_.failures += 1;
  status_.last_error = problem.message;
  status_.cursor = cursor();
  status_.waiting_since = waiting_since();
  // Full jitter: a fleet that lost the same store must not come back in step.
  return now + problem.wait + pause * std::uniform_int_distribution(50, 100)(jitter_) / 100;
}

void Shipper::after_success(Lane& lane, const storage::Position& end, bool has_sent, Instant now) {
  if (has_sent && failures_in_row_ > 0)
    log::notice(fmt::format("{}: sending again", config_.id), {{"SINK", config_.id}});
  if (has_sent) failures_in_row_ = 0;
  lane.read = end;
  const auto reached = end.seq < lane.end ? end : storage::Position{.seq = lane.end};
  // What the sink does not get cannot be lost upstream: it settles with what went before it.
  if (has_sent) lane.unsettled.push_back({reached, now});
  else if (!lane.unsettled.empty()) lane.unsettled.back().end = reached;
  else lane.settled = reached;
  if (!has_sent && now - saved_at_ >= kSave) save();
  const std::scoped_lock lock(mutex_);
  status_.cursor = cursor();
  status_.backfill_segments = late_segments();
  status_.waiting_since = waiting_since();
  if (!has_sent) return;
  status_.last_error.clear();
  status_.last_success = clock_.now();
}

}  // namespace wattd::sync
