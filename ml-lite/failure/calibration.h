#pragma once
#include <span>

#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

/// Makes probabilities of a model that was fitted elsewhere those of a site: its machines fail more or less often than
/// the ones that it knows. A straight line on the log odds, drawn to the line that changes nothing, so that few rows
/// change little. The order of rows stays. Threads: any.
/// Source: Platt 1999.
class Calibration {
 public:
  /// The one that changes nothing.
  Calibration() = default;
  /// Shape: a probability and 0 or 1 for each row. Errors: permanent, for fewer than 20 rows, or none of one kind.
  static Result<Calibration> fit(std::span<const double> probability, std::span<const double> failed);
  double of(double probability) const;

  void write(ByteWriter& out) const;
  static Calibration read(ByteReader& in);

 private:
  double offset_ = 0, slope_ = 1;
};

}  // namespace wattd::ml
