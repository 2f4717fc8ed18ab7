#pragma once
#include <span>
#include <vector>

#include "ml-lite/table.h"
#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

/// How far out in the tails of its columns a row lies: the sum of -ln of each column's nearer tail.
/// Sees what is extreme, and not what is odd in the middle or in combination. No parameter, no randomness.
/// Threads: any, once fitted.
/// Source: Li, Zhao, Hu, Botta, Ionescu, Chen 2022 (ECOD).
class Tails {
 public:
  static constexpr std::size_t kMostValues = 4096;  ///< Kept of a column: beyond that, evenly spaced quantiles.

  /// Errors: permanent, for fewer than two rows.
  static Result<Tails> fit(const Table& rows);
  /// 0 and more. What is missing (NaN) lies in no tail.
  double score(std::span<const double> row) const;
  double score_column(std::size_t column, double value) const;
  std::size_t columns() const { return sorted_.size(); }

  void write(ByteWriter& out) const;
  static Tails read(ByteReader& in);

 private:
  std::vector<std::vector<float>> sorted_;
};

}  // namespace wattd::ml
