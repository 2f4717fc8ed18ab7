#pragma once
#include "ml-lite/load/lag_ridge.h"
#include "ml-lite/load/state.h"
#include "ml-lite/trees/boosting.h"

namespace wattd::ml::load {

/// What the straight lines of LagRidge miss two hours to a week ahead: bends and meetings of lags, hour and weekday, by
/// boosted trees with absolute loss.
class Correction {
 public:
  Correction() = default;
  /// Learns from the hours up to `end`. Errors: as GradientBoosting::fit().
  static Result<Correction> fit(const State& state, const LagRidge& ridge, std::size_t end);
  /// To be added to `line`, the ridge's forecast of target s, `h` hours before. Units: of State::z.
  double of(const State& state, std::size_t s, std::size_t h, double line) const;

  void write(ByteWriter& out) const { trees_.write(out); }
  static Correction read(ByteReader& in);

 private:
  GradientBoosting trees_;
};

/// The next hour, on its own: two boosted models, one of what the ridge misses and one of the step from the last hour,
/// whose errors are not the same.
class NextHour {
 public:
  NextHour() = default;
  static Result<NextHour> fit(const State& state, const LagRidge& ridge, std::size_t end);
  /// Of target s, told everything up to the hour before. Units: of State::z.
  double forecast(const State& state, std::size_t s, double line) const;

  void write(ByteWriter& out) const { from_line_.write(out), from_last_.write(out); }
  static NextHour read(ByteReader& in);

 private:
  GradientBoosting from_line_, from_last_;
};

}  // namespace wattd::ml::load
