#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "ml-lite/table.h"
#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

struct IsolationForestOptions {
  std::uint32_t trees = 100;
  std::uint32_t sample = 256;  ///< Rows a tree is grown on; its depth is bounded by the logarithm.
  /// Columns with heavy tails are cut more often: drawn by the square root of their kurtosis, or to this power of it;
  /// 0: all alike, as in the paper.
  double tails = 0.5;
  std::uint64_t seed = 1;
};

/// What is alone is cut off by few random cuts: rows that are unlike the others in one column or in their combination.
/// Knows nothing of time: give it lags, rates or deviations as columns.
/// Threads: any, once fitted.
/// Source: Liu, Ting, Zhou 2008 and 2012.
class IsolationForest {
 public:
  static constexpr std::string_view kKind = "isolation-forest";
  static constexpr std::uint8_t kVersion = 1;
  static constexpr std::uint32_t kDeepest = 8;

  /// A missing value (NaN) takes its column's median.
  /// Errors: permanent, for fewer than two rows or more than 256 columns.
  static Result<IsolationForest> fit(const Table& rows, const IsolationForestOptions& options = {});

  /// 0 to 1: about a half for what is like the others, towards 1 for what is alone.
  double score(std::span<const double> row) const;
  /// Shape: a score a row.
  std::vector<double> score(const Table& rows) const;
  /// By how much the score would fall if a column had its median. Shape: a share a column.
  std::vector<double> explain(std::span<const double> row) const;
  /// The same for any score of a row.
  std::vector<double> explain_with(std::span<const double> row,
                                   const std::function<double(std::span<const double>)>& score) const;
  std::size_t columns() const { return medians_.size(); }

  void write(ByteWriter& out) const;
  static IsolationForest read(ByteReader& in);

 private:
  /// A tree as a heap of which every path is kDeepest long: behind a leaf further up all paths lead to its left.
  struct Tree {
    std::array<float, (1U << kDeepest) - 1> cut;
    std::array<std::uint8_t, (1U << kDeepest) - 1> column;
    std::array<float, 1U << kDeepest> length;  ///< Expected number of cuts to isolate a row that ends there.
  };
  class Growth;

  void place(const double* row, float* values) const;
  double score_of(double length) const;

  std::vector<float> medians_;
  double usual_length_ = 1;
  std::vector<Tree> trees_;
};

}  // namespace wattd::ml
