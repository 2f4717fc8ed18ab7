#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ml-lite/table.h"
#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

/// How far a row lies from the others when what belongs together is measured together: Mahalanobis' distance from the
/// three quarters of the rows that lie closest together. Sees broken relations; expects one cloud.
/// Threads: any, once fitted.
/// Source: Rousseeuw, Van Driessen 1999 (fast minimum covariance determinant).
class RobustDistance {
 public:
  /// Errors: permanent, for fewer rows than two a column, or more than 256 columns.
  static Result<RobustDistance> fit(const Table& rows, std::uint64_t seed = 1);
  /// The logarithm of the squared distance. What is missing (NaN) lies in the centre.
  double score(std::span<const double> row) const;
  std::size_t columns() const { return centres_.size(); }

  void write(ByteWriter& out) const;
  static RobustDistance read(ByteReader& in);

 private:
  std::vector<double> centres_, scales_;
  std::vector<double> whitening_;  ///< Columns × columns, lower triangle: makes the cloud round.
};

}  // namespace wattd::ml
