#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ml-lite/table.h"
#include "ml-lite/trees/tree.h"
#include "telemetry/error.h"

namespace wattd::ml {

/// What a boosted model is fitted to.
enum class Loss : std::uint8_t {
  squared,   ///< The mean.
  logistic,  ///< The probability of a target that is 0 or 1.
  quantile,  ///< What a share of `quantile` lies below; 0.5: the median.
};

struct BoostingOptions {
  Loss loss = Loss::squared;
  double quantile = 0.5;
  std::uint32_t trees = 200;
  std::uint32_t depth = 4;
  std::uint32_t leaves = 0xFFFFFFFF;
  std::uint32_t bins = 255;  ///< Of each column: more see finer, and take longer.
  double rate = 0.1;         ///< Share of each tree's answer that is taken.
  double ridge = 1;
  std::uint32_t least_rows = 20;       ///< In a leaf.
  double rows_share = 1;               ///< Drawn for each tree.
  std::uint32_t columns = 0xFFFFFFFF;  ///< Looked at for each tree.
  std::uint64_t seed = 1;
};

/// Small trees, each fitted to what those before it left: the most accurate of the small models on tables.
/// Threads: any, once fitted.
/// Source: Friedman 2001; Ke et al. 2017 (histograms).
class GradientBoosting {
 public:
  static constexpr std::string_view kKind = "gradient-boosting";
  static constexpr std::uint8_t kVersion = 1;

  /// Shape: a target for each row. What is missing (NaN) counts as the smallest value.
  /// Errors: permanent, when there is nothing to learn from or a logistic target is neither 0 nor 1.
  static Result<GradientBoosting> fit(const Table& rows, std::span<const double> target,
                                      const BoostingOptions& options = {});

  /// The value, or the probability with logistic loss.
  double predict(std::span<const double> row) const { return linked(start_ + trees_.sum(row)); }
  /// Shape: a value a row.
  std::vector<double> predict(const Table& rows) const;
  /// By how much each column moved the row's value (log odds with logistic loss) from the start. Shape: a share a
  /// column.
  std::vector<double> explain(std::span<const double> row) const;
  std::size_t columns() const { return columns_; }

  void write(ByteWriter& out) const;
  static GradientBoosting read(ByteReader& in);

 private:
  double linked(double sum) const;

  std::size_t columns_ = 0;
  Loss loss_ = Loss::squared;
  double start_ = 0;
  trees::Trees trees_;
};

}  // namespace wattd::ml
