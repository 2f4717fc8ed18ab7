#pragma once
#include <span>
#include <string>
#include <vector>

#include "ml-lite/features/calendar.h"
#include "ml-lite/table.h"

namespace wattd::ml {

/// Named columns: what models are fitted on and what dataset files hold. Shape: a row for each time.
struct Dataset {
  std::vector<LocalTime> times;
  std::vector<std::string> names;
  std::vector<std::vector<double>> columns;  ///< NaN: missing.

  /// The column, or nullptr.
  const std::vector<double>* find(std::string_view name) const;
  /// These columns as rows. Shape: times × names. Errors: a name that is not there gives a column of NaN.
  Table rows(std::span<const std::string> wanted) const;
};

struct EngineeringOptions {
  std::size_t window = 60;        ///< Rows of the rolling statistics: five minutes at 5 s.
  std::vector<std::size_t> lags;  ///< Rows back; `NAME_lag_N`.
  Holidays holidays;
  bool seasons = false;  ///< Where in the day, the week and the year a row lies, without a jump at midnight.
};

/// Adds what every dataset of the platform has: hour, day_of_week (0 is Monday), is_weekend, is_holiday where holidays
/// are known, day_sin, day_cos, week_sin, week_cos, year_sin, year_cos where seasons are asked for, power_factor of
/// voltage, current and power (0 to 1), and of each column NAME: NAME_rolling_mean, NAME_rolling_std (n - 1; missing
/// until the window is full), NAME_rate (difference from the row before) and its lags.
void engineer(Dataset& dataset, const EngineeringOptions& options = {});

/// Hours until a failure, as the platform's pages band them: 1 above 0.8, 6 above 0.6, 24 above 0.4, else -1 (unknown).
double time_to_failure_hours(double failure_probability);

}  // namespace wattd::ml
