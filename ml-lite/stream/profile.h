#pragma once
#include <array>
#include <cstdint>

#include "ml-lite/features/calendar.h"
#include "telemetry/bytes.h"

namespace wattd::ml {

/// Where a moment lies among the hours of a day and a week.
struct HourOfWeek {
  int weekday = 0;  ///< 0 (Monday) to 6.
  int hour = 0;
  int before = 0;  ///< The hour whose middle is at or before the moment, -1 to 23 …
  float past = 0;  ///< … and how far it is on the way to the next one's, 0 to 1.

  static HourOfWeek of(LocalTime at);
  int index() const { return weekday * 24 + hour; }
};

/// What a series usually is at an hour: by kind of day at once, by day of the week when it has seen a few.
class Profile {
 public:
  /// By kind of day (working day or weekend), on a line between the middles of the hours; `shift` hours away.
  float by_day(const HourOfWeek& when, int shift = 0) const;
  /// By hour of the week; nothing of hours that came fewer than `least` times.
  float by_week(const HourOfWeek& when) const { return week_[static_cast<std::size_t>(when.index())]; }
  bool knows_week(const HourOfWeek& when, float least) const {
    return static_cast<float>(week_seen_[static_cast<std::size_t>(when.index())]) > least;
  }
  /// `rows_an_hour`: how many values an hour has. `level`: what hours are thought to be that never came.
  void learn(const HourOfWeek& when, float value, float rows_an_hour, float level);
  void start(float level) { level_ = level; }

  void write(ByteWriter& out) const;
  static Profile read(ByteReader& in);

 private:
  float middle_of(bool weekend, int hour) const;

  std::array<float, 48> day_{};
  std::array<float, 168> week_{};
  std::array<std::uint16_t, 48> day_seen_{};
  std::array<std::uint16_t, 168> week_seen_{};
  float level_ = 0;
};

}  // namespace wattd::ml
