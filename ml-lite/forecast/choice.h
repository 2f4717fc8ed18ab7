#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ml-lite/features/calendar.h"
#include "ml-lite/forecast/path.h"
#include "ml-lite/table.h"
#include "telemetry/error.h"

namespace wattd::ml {

enum class Method : std::uint8_t { automatic, load, linear, seasonal_naive, holt_winters, sarima, additive, lstm };
/// `auto`, `load`, `seasonal-naive` … Errors: nullopt for no such name.
std::optional<Method> method_of(std::string_view name);
std::string_view to_string(Method method);
/// All names, separated by `, `.
std::string method_names();

/// A series up to an origin. Shape: values at equal distances from `first` on; what is missing is NaN.
struct SeriesInput {
  LocalTime first;
  std::chrono::seconds step{3600};
  std::span<const double> values;
  Holidays holidays;
  std::size_t period = 0;  ///< Steps of the season; 0: a day's or a week's, by the step.
  Table regressors;        ///< Of additive: a row for each value, and for steps behind them as far as they are known.
};

/// A fitted forecaster of any method. Threads: one at a time.
class SeriesModel {
 public:
  virtual ~SeriesModel() = default;
  virtual void observe(double value) = 0;
  /// Shape: a step for each ahead; the load forecaster ends after a week.
  virtual std::vector<Step> forecast(std::uint32_t steps) const = 0;
  virtual Method method() const = 0;
};

/// Fits a method, with bands from rehearsals at earlier origins. `automatic` is the load forecaster for nine weeks and
/// more of hours; for anything else the classical method that was best in those rehearsals. Errors: permanent, for
/// series that the method cannot be fitted on.
Result<std::unique_ptr<SeriesModel>> fit_series(Method method, const SeriesInput& input);

/// The series without holes: what is missing lies on a line between its neighbours of the same phase, else of the next
/// ones.
std::vector<double> fill_gaps(std::span<const double> values, std::size_t period);

}  // namespace wattd::ml
