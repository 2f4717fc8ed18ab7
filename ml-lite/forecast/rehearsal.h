#pragma once
#include <optional>
#include <span>
#include <vector>

#include "ml-lite/forecast/series_input.h"
#include "telemetry/bytes.h"

namespace wattd::ml {

/// How good forecasts of past weeks were, by models that had not seen them: what a fit is worth. Source: measures.h.
struct ForecastAccuracy {
  double mase = 0;   ///< Mean absolute error over that of the seasonal naive forecast on the history.
  double naive = 0;  ///< The same of the seasonal naive forecast of the same steps: where it is lower, take that one.
  double smape = 0;  ///< In per cent.
  double rmse = 0;   ///< Units: of the series.

  void write(ByteWriter& out) const;
  static ForecastAccuracy read(ByteReader& in);
};

/// Forecasts of steps that have come since.
struct Rehearsed {
  struct Step {
    std::size_t at, naive_at;  ///< Which value it is of, and which one the seasonal naive forecast would have repeated.
    double forecast;
  };
  std::vector<Step> steps;

  /// Shape: the series, with its holes filled, and its season in steps; of `effects`, what was taken off each value
  /// before it was forecast, or none. Nothing of no steps.
  std::optional<ForecastAccuracy> accuracy(std::span<const double> values, std::size_t season,
                                           std::span<const double> effects = {}) const;
};

/// A classical method at some earlier origins, and what came in the week after each.
struct Rehearsal {
  Rehearsed rehearsed;
  /// How far off a step so far ahead was, in the model's own deviations.
  struct Distance {
    std::size_t ahead;
    double off;
  };
  std::vector<Distance> distances;
};

/// Fits at up to six origins, half of what is looked ahead apart. Shape: `values` as fit_classical() has them: the
/// input's, with its holes filled. Nothing, for series too short.
std::optional<Rehearsal> rehearse(Method method, const SeriesInput& input, std::span<const double> values);

}  // namespace wattd::ml
