#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "ml-lite/load/state.h"
#include "telemetry/bytes.h"

namespace wattd::ml::load {

/// Products of a series with itself some hours before, recent ones weighing more: all that 168 regressions need,
/// gathered in one walk.
class LagSums {
 public:
  explicit LagSums(const State& state);
  ~LagSums();
  /// Takes the hours up to `t`.
  void advance(std::size_t t);

 private:
  friend class LagRidge;
  struct Sums;
  std::unique_ptr<Sums> sums_;
};

/// A straight line for each of 168 hours ahead: lags, means and the calendar of the target. Squares, drawn to 0
/// (ridge). What lies before the series counts as its mean. Source: Hoerl, Kennard 1970.
class LagRidge {
 public:
  LagRidge() = default;
  explicit LagRidge(const LagSums& sums);
  /// Of target s, made `h` hours before (1 to 168). Units: of State::z.
  double forecast(const State& state, std::size_t s, std::size_t h) const;

  void write(ByteWriter& out) const;
  static LagRidge read(ByteReader& in);

 private:
  std::vector<std::vector<float>> weights_;  ///< For each h: the lags, four means, seven days, 72 slots.
};

}  // namespace wattd::ml::load
