#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "ml-lite/features/calendar.h"
#include "telemetry/bytes.h"

namespace wattd::ml::load {

inline constexpr std::size_t kWeek = 168;  ///< Hours, and how far ahead is looked.
inline constexpr std::size_t kSlots = 72;  ///< Hour of the day × (working day, Saturday, Sunday or holiday).
inline constexpr std::size_t kLongestLag = 672;
inline constexpr std::size_t kWarm = 840;  ///< Hours before the first that a model is fitted on.

/// Makes loads comparable: the square root (of what is negative, its mirror image), less the mean, in deviations. A
/// median survives the way back, so that everything may be done on this side.
class Scale {
 public:
  /// Of the values up to the origin; NaN is left out.
  static Scale of(std::span<const double> values);
  double to(double value) const;
  double from(double z) const;

  void write(ByteWriter& out) const;
  static Scale read(ByteReader& in);

 private:
  double centre_ = 0, spread_ = 1;
  double lowest_ = -1e9, highest_ = 1e9;  ///< Of z: what lies beyond is a glitch, and is taken for the end.
  bool negative_ = false;                 ///< Whether there were values below 0: else forecasts are not, either.
};

/// Which hours of which days are alike.
struct Slot {
  std::uint32_t hour, weekday, day_type;
  std::uint32_t index() const { return hour + 24 * day_type; }
  std::uint32_t of_week() const { return weekday * 24 + hour; }
};

/// A series hour by hour, and what was known of it at each of them: nothing here looks ahead.
class State {
 public:
  State(LocalTime first, Scale scale, Holidays holidays = {});

  /// The next hour's value; one from another world is taken for the farthest that is believed, and a missing one (NaN)
  /// is taken for the usual one of its slot.
  void append(double value);
  std::size_t size() const { return z_.size(); }
  const Scale& scale() const { return scale_; }
  const Holidays& holidays() const { return holidays_; }
  LocalTime time(std::size_t t) const { return first_ + std::chrono::hours(t); }
  /// Also of hours that have not come yet.
  Slot slot(std::size_t t) const;

  double z(std::size_t t) const { return z_[t]; }
  std::span<const double> values() const { return z_; }
  enum Window : std::uint8_t { six, day, week, month };
  double mean(Window window, std::size_t t) const { return means_[window][t]; }
  std::span<const double> means(Window window) const { return means_[window]; }
  /// What the slot usually was, as known at t.
  double usual(std::size_t t, std::uint32_t slot) const { return static_cast<double>(usual_[t * kSlots + slot]); }
  double usual_of_hour(std::size_t t, std::uint32_t hour) const {
    return static_cast<double>(usual_of_hour_[t * 24 + hour]);
  }
  /// Mean of what the last day was off from what was usual.
  double surprise(std::size_t t) const { return surprise_[t]; }

  /// Forgets the hours that no forecast from the end on asks for.
  void trim();
  /// So many hours are kept: the longest lag, before the first of those whose means are asked for.
  static constexpr std::size_t kKept = kLongestLag + kWeek + 24;
  /// What forecasts from the end on need: the last hours, and what is usual.
  void write(ByteWriter& out) const;
  /// Its first hours are those that were kept. Errors: throws BadBytes.
  static State read(ByteReader& in);

 private:
  void append_z(double z);

  LocalTime first_;
  Scale scale_;
  Holidays holidays_;
  std::vector<double> z_;
  std::array<std::vector<double>, 4> means_;
  std::array<double, 4> sums_{};
  std::vector<float> usual_, usual_of_hour_;
  std::vector<bool> known_ = std::vector<bool>(kSlots + 24);
  std::vector<double> off_, surprise_;
};

}  // namespace wattd::ml::load
