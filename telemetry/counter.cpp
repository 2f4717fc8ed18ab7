#include "telemetry/counter.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace wattd {
namespace {

constexpr double kMilli = 1e6;
constexpr std::size_t kConvincing = 3;
// Where nothing is known of a counter: no meter behind a gateway counts faster than 100 MW, and what begins at exactly
// zero and goes on at more than 1 MW was not counted, but had not been read yet.
constexpr double kMostAnHour = 100'000, kMostFromZero = 1'000;
constexpr auto kMayComeBack = std::chrono::hours{24};
constexpr double kFloatStep = 1.0 / (1 << 23);  // what a meter's float32 cannot tell apart

/// One in the last decimal place that a value shows, down to a millionth.
double last_digit(double value) {
  double step = 1;
  for (int places = 0; places < 6; ++places, step /= 10) {
    const double digits = value / step;
    if (std::fabs(digits - std::nearbyint(digits)) < 1e-6 * std::max(1.0, std::fabs(digits)) * 1e-3) return step;
  }
  return step;
}

}  // namespace

std::int64_t to_milli(double value) {
  constexpr double kMost = 9.2e18;
  return std::llround(std::clamp(value * kMilli, -kMost, kMost));
}

std::int64_t Increment::within(TimeRange range) const {
  const auto length = (to - from).count();
  // By what had been counted at each end, so that nothing is lost to rounding between adjoining ranges.
  const auto counted_at = [&](Timestamp at) -> std::int64_t {
    if (at <= from) return 0;
    if (at >= to) return milli;
    return static_cast<std::int64_t>(static_cast<__int128>(milli) * (at - from).count() / length);
  };
  return counted_at(range.to) - counted_at(range.from);
}

double Counter::tolerance(double a, double b) const {
  const double digit = rules_.resolution > 0 ? rules_.resolution : std::min(last_digit(a), last_digit(b));
  return 2 * std::max(digit, std::fabs(a) * kFloatStep) * (1 + 1e-9);
}

bool Counter::is_believable(const CounterReading& from, double difference, Timestamp to) const {
  const double most = rules_.most_an_hour > 0 ? 2 * rules_.most_an_hour : from.value == 0 ? kMostFromZero : kMostAnHour;
  const double hours = std::chrono::duration<double, std::ratio<3600>>(to - from.at).count();
  return difference <= most * hours + tolerance(from.value, from.value + difference);
}

std::vector<Increment> Counter::accept(CounterReading reading, std::int64_t milli, Quality quality) {
  const auto from = state_.accepted->at;
  state_.accepted = reading;
  state_.held.clear();
  state_.since += milli;
  forget_before();
  return {{from, reading.at, milli, quality}};
}

/// It cannot come back to where it stood before a reset that was long ago, or that it has counted past since.
void Counter::forget_before() {
  auto& [accepted, held, before, since] = state_;
  if (before && (accepted->at - before->at > kMayComeBack || accepted->value >= before->value)) before.reset();
  if (!before) since = 0;
}

/// Whether it stands where it stood before what looked like a reset, from one reading to the next.
bool Counter::comes_back(const CounterReading& reading) const {
  const auto& before = state_.before;
  return before && reading.at - before->at <= kMayComeBack && state_.accepted->value <= before->value / 2 &&
         reading.value >= before->value - tolerance(before->value, reading.value);
}

void Counter::recall(CounterReading reading, std::int64_t milli, Quality quality) {
  auto& [accepted, held, before, since] = state_;
  if (before && comes_back(reading)) before.reset();
  else if (accepted && has(quality, Quality::reset))
    before = reading.value < accepted->value ? accepted : std::nullopt, since = milli;
  else since += milli;
  accepted = reading;
  held.clear();
  forget_before();
}

std::vector<Increment> Counter::begin_anew(CounterReading first, Quality why) {
  // What it shows now was counted since the reset, if it began at zero; a new meter may have begun anywhere.
  const auto before = *state_.accepted;
  const bool from_zero = rules_.most_an_hour > 0 && is_believable(before, first.value, first.at);
  auto increments =
      accept(first, from_zero ? std::max<std::int64_t>(to_milli(first.value), 0) : 0, why | Quality::reset);
  // Where its driver says so, there is nothing to take back.
  const bool is_sure = has(why, Quality::reset) || first.value >= before.value;
  state_.before = is_sure ? std::nullopt : std::optional(before);
  state_.since = is_sure ? 0 : increments.front().milli;
  return increments;
}

std::vector<Increment> Counter::take(CounterReading reading, Quality quality) {
  if (!std::isfinite(reading.value) || has(quality, Quality::invalid)) return {};
  if (!state_.accepted) {
    state_.accepted = reading;
    return {};
  }
  const auto& last = *state_.accepted;
  if (reading.at <= last.at) return {};
  if (has(quality, Quality::reset)) return begin_anew(reading, quality);
  if (comes_back(reading)) {
    const auto milli = to_milli(reading.value) - to_milli(state_.before->value) - state_.since;
    state_.before.reset();
    return accept(reading, std::max<std::int64_t>(milli, 0), Quality::good);
  }
  const double difference = reading.value - last.value;
  if (rules_.modulus > 0 && last.value >= .9 * rules_.modulus && reading.value <= .1 * rules_.modulus) {
    const double around = reading.value + rules_.modulus - last.value;
    if (is_believable(last, around, reading.at))
      return accept(reading, to_milli(reading.value) + to_milli(rules_.modulus) - to_milli(last.value),
                    Quality::rollover);
  }
  if (difference >= 0 && is_believable(last, difference, reading.at))
    return accept(reading, to_milli(reading.value) - to_milli(last.value), Quality::good);
  if (difference < 0 && -difference <= tolerance(last.value, reading.value))
    return accept({reading.at, last.value}, 0, Quality::good);  // its last digit trembles: the old value holds

  auto& held = state_.held;
  if (!held.empty() && reading.value < held.back().value) held.clear();
  held.push_back(reading);
  if (held.size() < kConvincing) return {};
  const auto convinced = std::exchange(held, {});
  auto increments = begin_anew(convinced.front(), Quality::good);
  for (std::size_t i = 1; i < convinced.size(); ++i) {
    const auto more =
        accept(convinced[i], to_milli(convinced[i].value) - to_milli(convinced[i - 1].value), Quality::good);
    increments.insert(increments.end(), more.begin(), more.end());
  }
  return increments;
}

}  // namespace wattd
