#pragma once
#include <array>

#include "ml-lite/load/state.h"

namespace wattd::ml::load {

/// What is known, `h` hours before a target, of hours like it. Nothing of it lies behind the origin.
struct Neighbours {
  std::size_t origin;
  std::size_t days, weeks;          ///< How many back the nearest known day and week are.
  std::array<double, 7> same_hour;  ///< Of the latest known days, the nearest first.
  std::array<double, 4> same_week_hour;
  double day_mean, day_median, week_mean, week_median;
  double level;  ///< Mean of the last week: what everything is told against.
  double usual, usual_of_hour;
  Slot slot;

  Neighbours(const State& state, std::size_t s, std::size_t h);
};

/// z[t], or 0 (the mean) before the series began.
inline double z_at(const State& state, std::ptrdiff_t t) { return t >= 0 ? state.z(static_cast<std::size_t>(t)) : 0; }

}  // namespace wattd::ml::load
