#include "drivers/modbus/schedule.h"

#include <algorithm>

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

constexpr auto kFirstPause = 1s;
constexpr auto kLongestPause = 10s;  // so that a meter that comes back is soon noticed
constexpr int kSilentShare = 20;     // one part in so many of a bus that others wait for

}  // namespace

/// In periods: 1 when it is a whole one behind its deadline; below 0 when it is not due.
double Schedule::Grid::lag(Instant now) const {
  if (!any()) return -1;
  return std::chrono::duration<double>(now - due) / std::chrono::duration<double>(period);
}

/// Deadlines keep their grid. A turn stands for all that had passed when it began: those that were missed are left out,
/// not made up for.
void Schedule::Grid::move_on(Instant began) {
  if (any() && due <= began) due += period * ((began - due) / period + 1);
}

Schedule::Schedule(const std::vector<Periods>& meters, Instant now) : began_(now) {
  for (const auto& periods : meters) meters_.push_back({.fast = {periods.fast, now}, .slow = {periods.slow, now}});
}

bool Schedule::may_ask(const Meter& meter, Instant now, bool others_wait) const {
  if (meter.failures == 0) return true;
  return now >= meter.ask_again && (!others_wait || now >= silent_free_);
}

std::optional<Schedule::Turn> Schedule::take(Instant now) {
  const bool others_wait = std::ranges::any_of(meters_, [&](const Meter& meter) {
    return meter.failures == 0 && std::max(meter.fast.lag(now), meter.slow.lag(now)) >= 0;
  });
  std::optional<Turn> chosen;
  double most = 0;
  for (std::size_t i = 0; i < meters_.size(); ++i) {
    const auto& meter = meters_[i];
    const auto fast = meter.fast.lag(now);
    const auto slow = meter.slow.lag(now);
    const auto lag = std::max(fast, slow);
    if (lag < 0 || !may_ask(meter, now, others_wait)) continue;
    // Its turn has come, and others have waited for it: a silent meter does not wait for a lull.
    const double weight = meter.failures > 0 ? lag + 1e6 : lag;
    if (chosen && weight <= most) continue;
    chosen = Turn{i, slow >= 0};
    most = weight;
  }
  return chosen;
}

Instant Schedule::next(Instant now) const {
  auto next = now + 1h;
  for (const auto& meter : meters_) {
    for (const auto* grid : {&meter.fast, &meter.slow}) {
      if (grid->any()) next = std::min(next, meter.failures > 0 ? std::max(grid->due, meter.ask_again) : grid->due);
    }
  }
  return next;
}

void Schedule::move_on(const Turn& turn, Instant began) {
  auto& meter = meters_[turn.meter];
  // The slow rows' turn reads the fast ones as well.
  if (turn.slow) meter.slow.move_on(began);
  meter.fast.move_on(began);
}

void Schedule::heard(const Turn& turn, Instant::duration took, Instant now) {
  note(took, now);
  meters_[turn.meter].failures = 0;
  move_on(turn, now - took);
}

void Schedule::silent(const Turn& turn, Instant::duration took, Instant now) {
  note(took, now);
  auto& meter = meters_[turn.meter];
  const auto pause = std::min<std::chrono::seconds>(kFirstPause * (1 << std::min(meter.failures++, 5)), kLongestPause);
  meter.ask_again = now + pause;
  silent_free_ = std::max(silent_free_, now - took) + took * kSilentShare;
  move_on(turn, now - took);
}

void Schedule::skipped(const Turn& turn, Instant now) { move_on(turn, now); }

void Schedule::note(Instant::duration took, Instant now) {
  // A turn longer than a slice counts where it ended; over a minute that evens out.
  auto& slice = slices_[static_cast<std::size_t>((now - began_) / kSlice) % slices_.size()];
  const auto number = (now - began_) / kSlice;
  if (slice.number != number) slice = {number, {}};
  slice.used += took;
}

double Schedule::load(Instant now) const {
  const auto current = (now - began_) / kSlice;
  Instant::duration used{};
  for (const auto& slice : slices_) {
    if (slice.number > current - static_cast<std::int64_t>(slices_.size())) used += slice.used;
  }
  const auto window = kSlice * (slices_.size() - 1) + (now - began_) % kSlice;
  const auto since = std::min<Instant::duration>(now - began_, window);
  if (since <= 0s) return 0;
  return std::min(1.0, std::chrono::duration<double>(used) / std::chrono::duration<double>(since));
}

}  // namespace wattd::drivers::modbus
