#include "ml-lite/stream/profile.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ml-lite/model_file.h"

namespace wattd::ml {
namespace {

constexpr float kDayRate = 0.15f, kWeekRate = 1.5f * kDayRate;  ///< What a visit changes, once an hour is known.

void step(float& mean, std::uint16_t& seen, float value, float rate) {
  if (seen == 0) mean = value;
  if (seen < std::numeric_limits<std::uint16_t>::max()) ++seen;
  mean += (value - mean) * std::max(rate, 1.0f / static_cast<float>(seen + 1));
}

}  // namespace

HourOfWeek HourOfWeek::of(LocalTime at) {
  using namespace std::chrono;
  const auto day = floor<days>(at);
  const double hours = static_cast<double>((at - day).count()) / 3600;
  const int before = static_cast<int>(std::floor(hours - 0.5));
  return {.weekday = static_cast<int>(std::chrono::weekday(day).iso_encoding()) - 1,
          .hour = std::min(static_cast<int>(hours), 23),
          .before = before,
          .past = static_cast<float>(hours - 0.5 - before)};
}

float Profile::middle_of(bool weekend, int hour) const {
  hour = (hour + 48) % 24;
  const auto here = static_cast<std::size_t>(24 * weekend + hour),
             there = static_cast<std::size_t>(24 * !weekend + hour);
  return day_seen_[here] != 0 ? day_[here] : day_seen_[there] != 0 ? day_[there] : level_;
}

float Profile::by_day(const HourOfWeek& when, int shift) const {
  const int hour = when.hour + shift;
  const int weekday = (when.weekday + (hour < 0 ? 6 : hour > 23 ? 1 : 0)) % 7;
  return middle_of(weekday >= 5, when.before + shift) * (1 - when.past) +
         middle_of(weekday >= 5, when.before + shift + 1) * when.past;
}

void Profile::learn(const HourOfWeek& when, float value, float rows_an_hour, float level) {
  level_ = level;
  const auto day = static_cast<std::size_t>(24 * (when.weekday >= 5) + when.hour),
             week = static_cast<std::size_t>(when.index());
  step(day_[day], day_seen_[day], value, kDayRate / rows_an_hour);
  step(week_[week], week_seen_[week], value, kWeekRate / rows_an_hour);
}

void Profile::write(ByteWriter& out) const {
  write_floats(out, day_);
  write_floats(out, week_);
  for (const auto seen : day_seen_) out.varint(seen);
  for (const auto seen : week_seen_) out.varint(seen);
  out.word(std::bit_cast<std::uint32_t>(level_));
}

Profile Profile::read(ByteReader& in) {
  Profile profile;
  read_floats_into(in, profile.day_);
  read_floats_into(in, profile.week_);
  const auto count = [&in](std::uint16_t& seen) {
    const auto value = in.varint();
    if (value > std::numeric_limits<std::uint16_t>::max()) throw BadBytes("an impossible count");
    seen = static_cast<std::uint16_t>(value);
  };
  std::ranges::for_each(profile.day_seen_, count);
  std::ranges::for_each(profile.week_seen_, count);
  profile.level_ = read_finite_float(in);
  return profile;
}

}  // namespace wattd::ml
