#include "ml-lite/features/engineering.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numbers>

#include "ml-lite/measures.h"

namespace wattd::ml {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void add(Dataset& dataset, std::string name, std::vector<double> column) {
  dataset.names.push_back(std::move(name));
  dataset.columns.push_back(std::move(column));
}

void add_calendar(Dataset& dataset, const Holidays& holidays) {
  const auto rows = dataset.times.size();
  std::vector<double> hour(rows), weekday(rows), weekend(rows), holiday(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    const auto calendar = calendar_at(dataset.times[i], holidays);
    hour[i] = calendar.hour, weekday[i] = calendar.weekday, weekend[i] = calendar.weekend,
    holiday[i] = calendar.holiday;
  }
  add(dataset, "hour", std::move(hour));
  add(dataset, "day_of_week", std::move(weekday));
  add(dataset, "is_weekend", std::move(weekend));
  if (!holidays.empty()) add(dataset, "is_holiday", std::move(holiday));
}

void add_seasons(Dataset& dataset) {
  const auto add_turn = [&](const std::string& name, auto turns) {
    std::vector<double> sine, cosine;
    for (const auto at : dataset.times) {
      const double angle = 2 * std::numbers::pi * turns(calendar_at(at));
      sine.push_back(std::sin(angle)), cosine.push_back(std::cos(angle));
    }
    add(dataset, name + "_sin", std::move(sine));
    add(dataset, name + "_cos", std::move(cosine));
  };
  add_turn("day", [](const Calendar& at) { return at.hour_share / 24; });
  add_turn("week", [](const Calendar& at) { return (at.weekday + at.hour_share / 24) / 7; });
  add_turn("year", [](const Calendar& at) { return at.year_share; });
}

/// Mean and deviation of the last `window` rows. Sums run on, of distances from a value of the column, and are taken
/// anew every now and then, so that nothing creeps in over a year of rows. What is missing makes its windows missing.
void add_rolling(Dataset& dataset, const std::string& name, const std::vector<double>& column, std::size_t window) {
  constexpr std::size_t kAnew = 4096;
  std::vector<double> means(column.size(), kNaN), deviations(column.size(), kNaN);
  double centre = 0, sum = 0, squares = 0;
  std::size_t missing = 0;
  const auto take = [&](double value, double sign) {
    if (!std::isfinite(value)) {
      sign > 0 ? ++missing : --missing;
      return;
    }
    sum += sign * (value - centre), squares += sign * (value - centre) * (value - centre);
  };
  const auto again = [&](std::size_t end) {
    // The median: a glitch in the middle of the sums would take the digits of all others.
    std::vector<double> known;
    std::copy_if(column.begin() + static_cast<std::ptrdiff_t>(end - window),
                 column.begin() + static_cast<std::ptrdiff_t>(end), std::back_inserter(known),
                 [](double value) { return std::isfinite(value); });
    centre = known.empty() ? 0 : median(std::move(known));
    sum = squares = 0, missing = 0;
    for (std::size_t j = end - window; j < end; ++j) take(column[j], 1);
  };
  const auto n = static_cast<double>(window);
  for (std::size_t i = window; window >= 2 && i <= column.size(); ++i) {
    if (i == window || i % std::max(kAnew, window) == 0) {
      again(i);
    } else {
      const double before = squares;
      take(column[i - 1], 1), take(column[i - 1 - window], -1);
      // What was far larger than what is left has taken its digits with it.
      if (!(squares > 1e-6 * before)) again(i);
    }
    if (missing != 0) continue;
    means[i - 1] = centre + sum / n;
    deviations[i - 1] = std::sqrt(std::max(0.0, squares - sum * sum / n) / (n - 1));
  }
  add(dataset, name + "_rolling_mean", std::move(means));
  add(dataset, name + "_rolling_std", std::move(deviations));
}

std::vector<double> lagged(const std::vector<double>& column, std::size_t lag) {
  std::vector<double> result(column.size(), kNaN);
  for (std::size_t i = lag; i < column.size(); ++i) result[i] = column[i - lag];
  return result;
}

void add_power_factor(Dataset& dataset) {
  const auto *voltage = dataset.find("voltage"), *current = dataset.find("current"), *power = dataset.find("power");
  if (voltage == nullptr || current == nullptr || power == nullptr) return;
  std::vector<double> factor(power->size());
  for (std::size_t i = 0; i < factor.size(); ++i) {
    const double apparent = (*voltage)[i] * (*current)[i];
    factor[i] = apparent == 0 ? kNaN : std::clamp((*power)[i] / apparent, 0.0, 1.0);
  }
  add(dataset, "power_factor", std::move(factor));
}

}  // namespace

const std::vector<double>* Dataset::find(std::string_view name) const {
  const auto found = std::ranges::find(names, name);
  return found == names.end() ? nullptr : &columns[static_cast<std::size_t>(found - names.begin())];
}

Table Dataset::rows(std::span<const std::string> wanted) const {
  const auto count = columns.empty() ? 0 : columns.front().size();
  Table table(count, wanted.size());
  for (std::size_t column = 0; column < wanted.size(); ++column) {
    const auto* values = find(wanted[column]);
    for (std::size_t row = 0; row < count; ++row) table.at(row, column) = values != nullptr ? (*values)[row] : kNaN;
  }
  return table;
}

void engineer(Dataset& dataset, const EngineeringOptions& options) {
  const auto names = dataset.names;
  if (!dataset.times.empty()) add_calendar(dataset, options.holidays);
  if (options.seasons) add_seasons(dataset);
  add_power_factor(dataset);
  for (const auto& name : names) {
    const auto column = *dataset.find(name);
    add_rolling(dataset, name, column, options.window);
    auto rate = lagged(column, 1);
    for (std::size_t i = 0; i < rate.size(); ++i) rate[i] = column[i] - rate[i];
    add(dataset, name + "_rate", std::move(rate));
    for (const auto lag : options.lags) add(dataset, name + "_lag_" + std::to_string(lag), lagged(column, lag));
  }
}

double time_to_failure_hours(double failure_probability) {
  return failure_probability > 0.8 ? 1 : failure_probability > 0.6 ? 6 : failure_probability > 0.4 ? 24 : -1;
}

}  // namespace wattd::ml
