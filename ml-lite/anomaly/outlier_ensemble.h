#pragma once
#include <array>
#include <cstdint>

#include "ml-lite/anomaly/isolation_forest.h"
#include "ml-lite/anomaly/robust_distance.h"
#include "ml-lite/anomaly/tails.h"

namespace wattd::ml {

/// An isolation forest, tails and a robust distance, each in its own usual spread, added up: what one of them is blind
/// to, another sees. The choice for tables of which nothing is known. Threads: any, once fitted. Source: Aggarwal,
/// Sathe 2015 (combination of scores).
class OutlierEnsemble {
 public:
  static constexpr std::string_view kKind = "outlier-ensemble";
  static constexpr std::uint8_t kVersion = 1;

  /// Errors: permanent, for fewer than ten rows or two a column, or more than 256 columns.
  static Result<OutlierEnsemble> fit(const Table& rows, std::uint64_t seed = 1);
  /// 0 for the usual row, 3 and more for one that stands out; at most 24.
  double score(std::span<const double> row) const;
  std::vector<double> score(const Table& rows) const;
  /// By how much the score would fall if a column had its median. Shape: a share a column.
  std::vector<double> explain(std::span<const double> row) const;
  std::size_t columns() const { return forest_.columns(); }

  void write(ByteWriter& out) const;
  static OutlierEnsemble read(ByteReader& in);

 private:
  /// Middle and quarters' distance of a member's scores.
  struct Spread {
    double middle = 0, width = 1;
  };
  std::array<double, 3> raw(std::span<const double> row) const {
    return {forest_.score(row), tails_.score(row), distance_.score(row)};
  }

  IsolationForest forest_;
  Tails tails_;
  RobustDistance distance_;
  std::array<Spread, 3> spreads_;
};

}  // namespace wattd::ml
