#include "rules/interval.h"

#include <algorithm>

namespace wattd::rules {
namespace {

using namespace std::chrono_literals;

constexpr auto kLately = 2min;           // what goes on is what was in these
constexpr auto kLongestSilence = 15min;  // over which a power is believed to have stayed as it was

double hours_of(std::chrono::microseconds time) {
  return std::chrono::duration<double, std::ratio<3600>>(time).count();
}

}  // namespace

void IntervalPart::take(CounterReading reading) {
  if (newest_ && reading.at <= *newest_) return;
  newest_ = reading.at;
  if (source_.is_counter) {
    for (const auto& increment : counter_.take(reading)) increments_.push_back(increment);
    return;
  }
  if (power_ && reading.at - power_->at <= kLongestSilence) {
    // W over hours are Wh; a thousand of them are a kWh.
    const double kwh = power_->value / 1000 * hours_of(reading.at - power_->at);
    increments_.push_back({power_->at, reading.at, to_milli(kwh)});
  }
  power_ = reading;
}

void IntervalPart::begin_again(Timestamp now) {
  if (!newest_ || *newest_ <= now) return;
  newest_.reset();
  power_.reset();
  counter_ = Counter(source_.rules);
  std::erase_if(increments_, [&](const Increment& one) { return one.to > now; });
}

std::int64_t IntervalPart::milli(TimeRange interval, Timestamp at) {
  if (interval.from != interval_) interval_ = interval.from, settled_ = 0;
  while (!increments_.empty() && increments_.front().to < at - kLately) {
    settled_ += increments_.front().within(interval);
    increments_.pop_front();
  }
  auto sum = settled_;
  for (const auto& increment : increments_) sum += increment.within(interval);
  return source_.sign * sum;
}

double IntervalPart::power(Timestamp until) const {
  if (!source_.is_counter) return power_ ? source_.sign * power_->value / 1000 : 0;
  const TimeRange lately{until - kLately, until};
  std::optional<Timestamp> from;
  std::int64_t milli = 0;
  for (const auto& increment : increments_) {
    if (increment.to <= lately.from) continue;
    if (!from) from = std::max(increment.from, lately.from);
    milli += increment.within(lately);
  }
  if (!from || until <= *from) return 0;
  return source_.sign * static_cast<double>(milli) / 1e6 / hours_of(until - *from);
}

double Interval::energy(const Calendar& calendar, Timestamp at) {
  at = newest_ = std::max(newest_, at);
  const auto interval = calendar.slot_of(at, length_);
  std::int64_t milli = 0;
  for (auto& part : parts_) milli += part.milli(interval, at);
  return static_cast<double>(milli) / 1e6;
}

std::optional<Timestamp> Interval::end_before(const Calendar& calendar, Timestamp at) const {
  if (newest_ == Timestamp{} || calendar.slot_of(at, length_).from <= newest_) return std::nullopt;
  return calendar.slot_of(newest_, length_).to - std::chrono::microseconds{1};
}

void Interval::begin_again(Timestamp now) {
  newest_ = std::min(newest_, now);
  for (auto& part : parts_) part.begin_again(now);
}

std::optional<double> Interval::forecast(const Calendar& calendar, Timestamp at) {
  double kwh = energy(calendar, at);
  const auto interval = calendar.slot_of(newest_, length_);
  for (const auto& part : parts_) {
    if (!part.newest() || newest_ - *part.newest() > kLongestSilence) return std::nullopt;
    kwh += part.power(*part.newest()) * hours_of(interval.to - std::max(*part.newest(), interval.from));
  }
  return kwh / hours_of(interval.to - interval.from);
}

}  // namespace wattd::rules
