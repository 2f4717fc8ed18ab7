#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "ml-lite/features/calendar.h"
#include "ml-lite/stream/profile.h"
#include "ml-lite/stream/surprise.h"
#include "telemetry/bytes.h"

namespace wattd::ml {

/// In which way a series is unlike itself.
enum class Oddity : std::uint8_t { jump, level, flat, ratio, volatility, clock, range };
/// `jump`, `level` …
std::string_view to_string(Oddity oddity);

/// Judges a series value by value as it comes: no training step, no look ahead, about 3 kB of state and half a
/// microsecond. It keeps what is usual at an hour, eleven ways to deviate from it, and how surprising each of them has
/// been so far; what several families of them say is added up. After an alarm the bar stands higher for a while, and
/// with many of them for longer. Feed powers or energies of an interval, at one value in 1 min to 1 h; not counters,
/// and not the raw 5 s. Threads: one at a time. Source: docs/models/stream.md.
class StreamDetector {
 public:
  static constexpr std::string_view kKind = "stream-detector";
  static constexpr std::uint8_t kVersion = 1;
  /// What is told to people: about one false alarm in eight weeks of a meter's hours.
  static constexpr double kAlarm = 2.1;

  /// The share of usual values that score at least this, and the score that only such a share of them reaches: a line
  /// through what was counted outside the windows of two public corpora, right within a factor of two for scores of 1.5
  /// to 3. Source: docs/models/stream.md.
  static double false_alarm_rate(double score);
  static double score_at(double false_alarm_rate);

  /// How many values it has seen, when the last of them was, and how far apart they are.
  std::uint32_t rows() const { return rows_; }
  LocalTime end() const { return LocalTime(std::chrono::seconds(last_)); }
  double interval_s() const { return static_cast<double>(interval_s_); }

  struct Judgement {
    double score =
        0;  ///< Decades of surprise above the usual; 0 where there is nothing to say or an alarm holds it back.
    double expected = 0;           ///< Units: of the series.
    Oddity most = Oddity::jump;    ///< What speaks loudest.
    std::array<float, 7> parts{};  ///< Of the score, before alarms and routines were taken off, by oddity.
  };
  /// What is no number is left out and scores 0.
  Judgement judge(LocalTime at, double value);

  void write(ByteWriter& out) const;
  /// Errors: throws BadBytes.
  static StreamDetector read(ByteReader& in);

 private:
  static constexpr std::size_t kChannels = 11, kRing = 32, kResiduals = 8, kHours = 24, kShifts = 13;

  void start(LocalTime at, float value);
  void learn_interval(float gap);
  void end_hour(std::int64_t hour);
  std::array<float, kChannels> deviations(const HourOfWeek& when, float value, float residual);
  float jump_over(std::uint32_t rows) const;
  float flatness() const;
  float day_deviation(float value, float& narrowness);
  float clock_shift(const HourOfWeek& when, float value);
  float emit(float sum, const HourOfWeek& when);
  float value_back(std::uint32_t rows) const { return values_[(rows_ - rows) % kRing]; }
  float residual_back(std::uint32_t rows) const { return residuals_[(rows_ - rows) % kResiduals]; }
  /// A running mean: exact at first, then of a memory of 1 / rate rows.
  void follow(float& mean, float value, float rate) const;
  float rows_a_day() const;
  float rows_an_hour() const;

  std::array<Surprise, kChannels> surprises_;
  Profile profile_;
  std::array<float, kHours> usual_peak_{};  ///< Of the sum, by hour of the day: what a nightly job does is no news.
  float peak_ = 0;                          ///< Of this hour.
  std::array<float, kRing> values_{};
  std::array<float, kResiduals> residuals_{};
  std::array<float, kHours> low_{}, high_{}, mean_{};  ///< Of the last 24 hours that had a value.
  std::array<float, kShifts> off_by_{};                ///< Mean distance from the profile -6 to 6 hours away.
  std::int64_t last_ = 0, hour_ = 0;                   ///< Seconds and hours since 1970, local.
  float interval_s_ = 300;
  float level_ = 0, slow_ = 0, usual_low_ = 0, usual_high_ = 0;
  float short_off_ = 0, long_off_ = 0, changes_ = 0, usual_changes_ = 0, smallest_ = 0, largest_ = 0;
  float bar_ = 0, alarms_ = 0;
  std::uint32_t rows_ = 0, last_alarm_ = 0, hours_ = 0, in_hour_ = 0;
};

}  // namespace wattd::ml
