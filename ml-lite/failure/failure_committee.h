#pragma once
#include <cstdint>

#include "ml-lite/failure/random_forest.h"
#include "ml-lite/trees/boosting.h"

namespace wattd::ml {

/// Failure probability by a random forest and a boosted model, whose log odds are averaged: better ranked and
/// calibrated than each alone, without a calibration of its own. Threads: any, once fitted. Source: Genest, Zidek 1986
/// (logarithmic pools).
class FailureCommittee {
 public:
  static constexpr std::string_view kKind = "failure-committee";
  static constexpr std::uint8_t kVersion = 1;

  /// Shape: 0 or 1 for each row. What is missing (NaN) counts as the smallest value.
  /// Errors: permanent, when there is nothing to learn from or a target is neither 0 nor 1.
  static Result<FailureCommittee> fit(const Table& rows, std::span<const double> failed, std::uint64_t seed = 1);

  double predict(std::span<const double> row) const;
  std::vector<double> predict(const Table& rows) const;
  /// By how much each column moved the forest's probability. Shape: a share a column.
  std::vector<double> explain(std::span<const double> row) const { return forest_.explain(row); }
  std::size_t columns() const { return forest_.columns(); }

  void write(ByteWriter& out) const;
  static FailureCommittee read(ByteReader& in);

 private:
  RandomForest forest_;
  GradientBoosting boosted_;
};

}  // namespace wattd::ml
