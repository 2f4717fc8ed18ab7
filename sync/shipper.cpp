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

class DatabaseSource final : public Source {
 public:
  explicit DatabaseSource(const storage::Store& store) : reader_(store.path(), store.vault()) {}
  Result<storage::Batch> batch_after(const storage::Position& position, std::size_t max_readings) override {
    return reader_.batch_after(position, max_readings);
  }
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
      cursor_(std::move(cursor)),
      batch_(config_.batch),
      jitter_(std::random_device{}()) {
  cursor_.sink_id = config_.id;
  cursor_.sent = cursor_.settled;  // what was sent but not settled before the restart is sent again
  read_ = {.seq = cursor_.settled};
  status_ = {.id = config_.id, .target = sink_->target(), .cursor = cursor_};
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
  settle(now);
  {
    const std::scoped_lock lock(mutex_);
    has_new_ = false;
  }
  if (unsettled_.size() >= window_) return unsettled_.front().at + config_.settle;
  const auto batch = source_->batch_after(read_, batch_);
  if (!batch) return after_failure(batch.error(), now);
  if (batch->end == read_) return now + kLookAgain;
  if (const auto sent = send(batch->readings); !sent) return after_failure(sent.error(), clock_.monotonic());
  after_success(batch->end, clock_.monotonic());
  return now;
}

Taken Shipper::send(std::span<const Reading> readings) {
  std::vector<storage::DeviceVersion> versions;
  versions.reserve(readings.size());  // Outgoing points into it
  std::vector<Outgoing> outgoing;
  outgoing.reserve(readings.size());
  for (const auto& reading : readings) {
    const bool same = !outgoing.empty() && outgoing.back().reading->device_id == reading.device_id &&
                      outgoing.back().reading->device_version == reading.device_version;
    if (!same) {
      auto version = source_->device_version(reading.device_id, reading.device_version);
      if (!version) return std::unexpected(version.error());
      versions.push_back(std::move(*version));
    }
    outgoing.push_back({&reading, &versions.back()});
  }
  return send_all(outgoing);
}

Taken Shipper::send_all(std::span<const Outgoing> batch) {
  refused_.clear();
  taken_ = false;
  // A segment may hold more than a slow link carries at once.
  for (auto rest = batch; !rest.empty();) {
    const auto count = std::min(batch_, rest.size());
    if (auto sent = send_or_bisect(rest.first(count), batch); !sent) return sent;
    rest = rest.subspan(count);
  }
  if (taken_) refused_in_row_ = 0;
  else if ((refused_in_row_ += refused_.size()) > kRefusesEverything) return refuses_everything();
  for (const auto& [outgoing, why] : refused_) set_aside(*outgoing.reading, why);
  return {};
}

Taken Shipper::send_or_bisect(std::span<const Outgoing> part, std::span<const Outgoing> batch) {
  if (part.empty()) return {};
  if (stop_.stop_requested()) return fail(ErrorKind::retry, "stopping");
  const auto began = clock_.monotonic();
  auto sent = sink_->send(part, stop_);
  adapt(part.size(), clock_.monotonic() - began);
  if (sent) {
    taken_ = true;
    const std::scoped_lock lock(mutex_);
    status_.sent_readings += part.size();
    for (const auto& outgoing : part) status_.sent_samples += numeric_samples(*outgoing.reading);
    return {};
  }
  if (sent.error().is_too_large) batch_ = std::clamp(part.size() / 2, std::size_t{1}, batch_);
  if (sent.error().kind != ErrorKind::permanent) return sent;
  if (part.size() == 1) {
    refused_.emplace_back(part[0], sent.error().message);
    // One after the other and none taken: before the rest is tried singly, too, the last one has to tell.
    if (taken_ || refused_.size() != kRefusesEverything) return {};
    if (const auto last = sink_->send(batch.last(1), stop_); !last) return refuses_everything();
    taken_ = true;
    return {};
  }
  const auto half = part.size() / 2;
  if (auto first = send_or_bisect(part.first(half), batch); !first) return first;
  return send_or_bisect(part.subspan(half), batch);
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

void Shipper::set_aside(const Reading& reading, const std::string& why) {
  if (set_aside_.size() >= kRemembered) set_aside_.clear();
  if (!set_aside_.emplace(reading.device_id, reading.at).second) return;
  log::warning(fmt::format("{}: a reading of {} was refused for good: {}", config_.id, reading.device_id, why),
               {{"SINK", config_.id}});
  ledger_.set_aside({message_of(reading, config_.id), Rejection::upstream_rejected, why});
  const std::scoped_lock lock(mutex_);
  status_.refused_readings += 1;
}

void Shipper::settle(Instant now) {
  const auto before = cursor_.settled;
  while (!unsettled_.empty() && now - unsettled_.front().at >= config_.settle) {
    cursor_.settled = unsettled_.front().seq;
    unsettled_.pop_front();
  }
  if (cursor_.settled == before) return;
  if (window_ < SIZE_MAX / 2) window_ *= 2;
  ledger_.save(cursor_);
  const std::scoped_lock lock(mutex_);
  status_.cursor = cursor_;
}

Instant Shipper::after_failure(const NotTaken& problem, Instant now) {
  // A store that went away may have lost what it had answered for since it last settled. Where the link fails more
  // often than that takes, fewer are left open, down to one: it settles while nothing has to be sent.
  if (!unsettled_.empty()) window_ = std::max(unsettled_.size() / 2, std::size_t{1});
  cursor_.sent = cursor_.settled;
  read_ = {.seq = cursor_.settled};
  unsettled_.clear();
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
  status_.cursor = cursor_;
  // Full jitter: a fleet that lost the same store must not come back in step.
  return now + problem.wait + pause * std::uniform_int_distribution(50, 100)(jitter_) / 100;
}

void Shipper::after_success(const storage::Position& end, Instant now) {
  if (failures_in_row_ > 0) log::notice(fmt::format("{}: sending again", config_.id), {{"SINK", config_.id}});
  failures_in_row_ = 0;
  read_ = end;
  cursor_.sent = end.seq;
  unsettled_.push_back({end.seq, now});
  const std::scoped_lock lock(mutex_);
  status_.cursor = cursor_;
  status_.last_error.clear();
  status_.last_success = clock_.now();
}

}  // namespace wattd::sync
