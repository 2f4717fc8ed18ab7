#pragma once
#include <variant>

#include "ml-lite/forecast/additive.h"
#include "ml-lite/forecast/lstm.h"
#include "ml-lite/forecast/sarima.h"
#include "ml-lite/forecast/seasonal_naive.h"
#include "ml-lite/forecast/series_input.h"
#include "ml-lite/forecast/smoothing.h"

namespace wattd::ml {

/// The forecasters whose bands are their own idea of how sure they are, for series of any step.
using Classical = std::variant<SeasonalNaive, Smoothing, Sarima, Additive, Lstm>;

/// Whether a fit of SARIMA to steps of this length takes a minute and not a second.
bool slow_for_sarima(const SeriesInput& input);

/// Fits to the first values of a series. Shape: `values` in the place of the input's, none missing.
/// Errors: permanent, as the method's own fit(), and for a method that is none of these.
Result<Classical> fit_classical(Method method, const SeriesInput& input, std::span<const double> values);

/// The steps behind `end`. Shape: of `ahead` a row a step, as far as it is known; what is not is taken for the mean.
Path forecast(const Classical& model, LocalTime end, std::chrono::seconds step, std::uint32_t steps,
              const Table& ahead);
/// What makes up the forecast of the step at `at`, `h` steps behind the end; nothing where the model has no parts.
std::vector<Part> explain(const Classical& model, LocalTime at, std::uint32_t h, std::span<const double> regressors);
/// The value at `at`, the step behind the last.
void observe(Classical& model, LocalTime at, double value, std::span<const double> regressors);

}  // namespace wattd::ml
