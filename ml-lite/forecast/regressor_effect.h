#pragma once
#include <optional>
#include <span>
#include <vector>

#include "ml-lite/table.h"
#include "telemetry/bytes.h"

namespace wattd::ml {

/// What quantities that are known ahead (weather, sun, a production plan) move a series by: a bent line of each, learnt
/// from how the series changes over a day and over a week when they do. What repeats itself with the clock is no part
/// of it, so that the rest is left to any forecaster. Threads: any, once fitted.
class RegressorEffect {
 public:
  static constexpr std::size_t kMost = 16;  ///< Regressors.

  /// Shape: a row of regressors for each value at least; `day`: steps. Nothing, where what was learnt of the first
  /// three quarters explains less than a twentieth of the changes in the last, or there are too few of them.
  static std::optional<RegressorEffect> fit(std::span<const double> values, const Table& regressors, std::size_t day);
  /// To be taken off a value, and added to its forecast; NaN where one of them is missing. Shape: one a regressor.
  /// Units: of the series.
  double of(std::span<const double> regressors) const;
  /// How far it lies from none, which is its mean, where nothing is known. Units: of the series.
  double deviation() const { return deviation_; }
  std::size_t regressors() const { return centres_.size(); }

  void write(ByteWriter& out) const;
  static RegressorEffect read(ByteReader& in);

 private:
  static constexpr std::size_t kBends = 3;
  static constexpr std::size_t kTerms = 1 + kBends;

  void learn_scales(std::size_t count, const Table& regressors);
  /// What is missing lies in the centre.
  void fill(std::span<const double> regressors, double* terms) const;

  std::vector<double> centres_, scales_;  ///< Of each regressor.
  std::vector<double> bends_;             ///< Three of each, standardised.
  std::vector<double> weights_;           ///< Four of each.
  double offset_ = 0;                     ///< So that the mean effect is none.
  double deviation_ = 0;
};

}  // namespace wattd::ml
