#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ml-lite/table.h"
#include "ml-lite/trees/tree.h"
#include "telemetry/error.h"

namespace wattd::ml {

struct RandomForestOptions {
  std::uint32_t trees = 300;
  std::uint32_t depth = 64;
  std::uint32_t least_rows = 1;  ///< In a leaf.
  std::uint32_t bins = 65'535;   ///< Of each column; as many as there are values: exact.
  std::uint32_t columns = 0;     ///< Looked at for each split; 0: the square root of all.
  std::uint64_t seed = 1;
};

/// Trees on resampled rows, whose leaves' means are averaged: the share of failures among rows like this one, or, for
/// any other target, its mean. Steady without tuning; bigger and slower than GradientBoosting.
/// Threads: any, once fitted.
/// Source: Breiman 2001.
class RandomForest {
 public:
  static constexpr std::string_view kKind = "random-forest";
  static constexpr std::uint8_t kVersion = 1;

  /// Shape: a target for each row; 0 and 1 for failures. What is missing (NaN) counts as the smallest value.
  /// Errors: permanent, when there is nothing to learn from.
  static Result<RandomForest> fit(const Table& rows, std::span<const double> target,
                                  const RandomForestOptions& options = {});

  double predict(std::span<const double> row) const { return trees_.sum(row) / static_cast<double>(trees_.size()); }
  /// Shape: a value a row.
  std::vector<double> predict(const Table& rows) const;
  /// What each row would have been said to be by the trees that had not seen it (out of bag): an honest look at the
  /// rows it was fitted on. Shape: a value for each of them. Kept by fit(), not in the file.
  const std::vector<double>& out_of_bag() const { return out_of_bag_; }
  /// By how much each column moved the row's value from the mean of all. Shape: a share a column.
  std::vector<double> explain(std::span<const double> row) const;
  std::size_t columns() const { return columns_; }

  void write(ByteWriter& out) const;
  static RandomForest read(ByteReader& in);

 private:
  std::size_t columns_ = 0;
  trees::Trees trees_;
  std::vector<double> out_of_bag_;
};

}  // namespace wattd::ml
