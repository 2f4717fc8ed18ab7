#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "telemetry/error.h"

namespace wattd::ml {

struct SeasonalTrendOptions {
  std::uint32_t period = 24;
  std::uint32_t seasonal_window = 0;  ///< Odd, in periods; 0: the season never changes.
  std::uint32_t trend_window = 0;     ///< Odd, in steps; 0: one and a half periods.
  bool robust = true;                 ///< What lies far off counts little.
};

/// A series taken apart: season + trend + what is left. Shape: as long as the series, each.
struct SeasonalTrend {
  std::vector<double> season;
  std::vector<double> trend;
};

/// By local regression, the season and the trend in turn (STL), with the jumps and defaults of R's stl().
/// Shape: values at equal distances, none missing; at least two periods.
/// Errors: permanent, for a series too short or with missing values.
/// Source: Cleveland, Cleveland, McRae, Terpenning 1990.
Result<SeasonalTrend> take_apart(std::span<const double> values, const SeasonalTrendOptions& options);

}  // namespace wattd::ml
