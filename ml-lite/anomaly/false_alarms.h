#pragma once
#include <vector>

#include "telemetry/bytes.h"

namespace wattd::ml {

/// What a score is worth: the share of usual rows that score as high. Learnt from scores that a model gave to rows it
/// had not seen; of rows like those, at most a share r has a rate of r or less on the mean over fits, whatever the
/// scores look like. Odd rows among them make it careful: rates are too high then. Source: Vovk, Gammerman, Shafer 2005
/// (conformal p-values); Bates et al. 2023 (for outliers).
class FalseAlarms {
 public:
  FalseAlarms() = default;
  /// Shape: at least one score.
  explicit FalseAlarms(std::vector<double> scores);
  /// 0 to 1, and never less than one in as many rows as were looked at, and one more.
  double rate(double score) const;
  /// The lowest rate that it can tell.
  double least() const { return 1 / (1 + all_); }

  void write(ByteWriter& out) const;
  static FalseAlarms read(ByteReader& in);

 private:
  std::vector<double> scores_;  ///< Falling; every one of the highest fifty, then ever fewer.
  std::vector<double> rates_;   ///< Of each score; rising.
  double all_ = 0;              ///< Rows that were looked at.
};

}  // namespace wattd::ml
