#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ml-lite/features/calendar.h"
#include "ml-lite/table.h"

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
  Table regressors;        ///< What is known ahead: a row for each value, and none or as many behind them as are known.
  std::vector<std::string> regressor_names;  ///< One a column; the model remembers them.

  LocalTime end() const { return first + step * static_cast<std::int64_t>(values.size() - 1); }
  std::size_t steps_a_day() const;
  /// What repeats itself: the week where it was seen twice, else the day, else (steps of a day and more) the week of
  /// days. 1: nothing does.
  std::size_t season() const;
};

/// The series without holes: what is missing lies on a line between its neighbours of the same phase, else of the next
/// ones.
std::vector<double> fill_gaps(std::span<const double> values, std::size_t period);

/// The series without glitches: what lies beyond three times the span of all but one in a hundred is missing (NaN).
std::vector<double> believable(std::span<const double> values);

}  // namespace wattd::ml
