#include "pipeline/health.h"

#include <algorithm>
#include <cmath>

namespace wattd::pipeline {
namespace {

using namespace std::chrono_literals;

constexpr double kUptime = 40, kCompleteness = 30, kErrors = 20, kResponse = 10;
constexpr int kUsualPauses = 3;  // so many intervals without a reading are no outage yet
constexpr auto kLongestAnswer = 1min;
constexpr int kMemory = 8;  // readings after which a changed interval is mostly believed

double seconds(Instant::duration duration) { return std::chrono::duration<double>(duration).count(); }

double of_response(double ms) { return ms <= 1000 ? 1 : ms <= 2000 ? .8 : ms <= 5000 ? .5 : .2; }

}  // namespace

HealthTracker::Hour& HealthTracker::hour_at(Instant now) {
  const std::int64_t number = now.time_since_epoch() / 1h;
  auto& hour = hours_[static_cast<std::size_t>(number) % kHours];
  if (hour.number != number) hour = {.number = number};
  return hour;
}

void HealthTracker::add_pause(Hour& hour, Instant::duration pause) const {
  if (interval_ <= 0s) return;
  const bool is_usual = pause <= kUsualPauses * interval_;
  hour.known += pause;
  hour.up += is_usual ? pause : interval_;
  hour.expected += std::max(1.0, std::round(seconds(pause) / seconds(interval_)));
}

void HealthTracker::reading(Instant now, std::chrono::microseconds response) {
  auto& hour = hour_at(now);
  if (last_) {
    const auto pause = now - *last_;
    add_pause(hour, pause);
    if (interval_ <= 0s) interval_ = pause;
    // An outage says nothing of how often readings come; a device that has slowed down is believed in the end.
    else if (pause <= kUsualPauses * interval_) interval_ += (pause - interval_) / kMemory;
    else interval_ += interval_ / kMemory;
  }
  last_ = now;
  hour.came += 1;
  if (response > kLongestAnswer) return;
  hour.answers += 1;
  hour.response += std::max<Instant::duration>(response, 0s);
}

void HealthTracker::refused(Instant now) { hour_at(now).refused += 1; }

std::optional<Health> HealthTracker::health(Instant now) const {
  if (interval_ <= 0s || !last_) return std::nullopt;
  Hour all;
  const std::int64_t number = now.time_since_epoch() / 1h;
  for (const auto& hour : hours_) {
    if (hour.number <= number - static_cast<std::int64_t>(kHours) || hour.number < 0) continue;
    all.known += hour.known, all.up += hour.up, all.response += hour.response, all.answers += hour.answers;
    all.expected += hour.expected, all.came += hour.came, all.refused += hour.refused;
  }
  // A device that has fallen silent is down although nothing has come to say so.
  const auto pause = std::min<Instant::duration>(now - *last_, kHours * 1h);
  if (pause > kUsualPauses * interval_) add_pause(all, pause);
  Health health;
  health.interval_s = seconds(interval_);
  health.uptime = all.known > 0s ? std::min(1.0, seconds(all.up) / seconds(all.known)) : 1;
  health.missing = all.expected > 0 ? std::clamp(1 - all.came / all.expected, 0.0, 1.0) : 0;
  health.error_rate = all.came + all.refused > 0 ? all.refused / (all.came + all.refused) : 0;
  health.response_ms = all.answers > 0 ? seconds(all.response) / all.answers * 1000 : 0;
  health.score = kUptime * health.uptime + kCompleteness * (1 - health.missing) + kErrors * (1 - health.error_rate) +
                 kResponse * of_response(health.response_ms);
  return health;
}

}  // namespace wattd::pipeline
