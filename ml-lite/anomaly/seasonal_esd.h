#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "telemetry/error.h"

namespace wattd::ml {

enum class Direction : std::uint8_t { both, above, below };

struct SeasonalEsdOptions {
  std::uint32_t period = 24;
  double most = 0.02;   ///< Share of the values that may be anomalies, below a half.
  double alpha = 0.05;  ///< Chance to name one in a series without any.
  Direction direction = Direction::both;
};

/// An outlier, the most extreme first.
struct Outlier {
  std::size_t index;
  double expected;  ///< Season and trend. Units: of the series.
  double strength;  ///< Distance in deviations, divided by what the test asks for: above 1 when seen for itself.
};

/// Seasonal hybrid extreme studentized deviates: what lies too far from season and median, by a test that many outliers
/// together cannot hide from. Looks at a whole series, so it is for history and not for a stream.
/// Shape: values at equal distances, none missing, at least two periods.
/// Errors: permanent, for a series too short or options out of range.
/// Source: Hochenbaum, Vallis, Kejariwal 2017; Rosner 1983.
Result<std::vector<Outlier>> seasonal_esd(std::span<const double> values, const SeasonalEsdOptions& options);

/// How far each value is off, in deviations of what is left without season and median. Shape: a distance a value.
Result<std::vector<double>> seasonal_distances(std::span<const double> values, const SeasonalEsdOptions& options);

}  // namespace wattd::ml
