#include "ml-lite/forecast/series_input.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "ml-lite/measures.h"

namespace wattd::ml {
namespace {

struct Named {
  Method method;
  std::string_view name;
};
constexpr Named kNames[] = {{Method::automatic, "auto"},
                            {Method::load, "load"},
                            {Method::linear, "linear"},
                            {Method::seasonal_naive, "seasonal-naive"},
                            {Method::holt_winters, "holt-winters"},
                            {Method::sarima, "sarima"},
                            {Method::additive, "additive"},
                            {Method::lstm, "lstm"}};

}  // namespace

std::optional<Method> method_of(std::string_view name) {
  const auto found = std::ranges::find(kNames, name, &Named::name);
  return found == std::end(kNames) ? std::nullopt : std::optional(found->method);
}

std::string_view to_string(Method method) { return std::ranges::find(kNames, method, &Named::method)->name; }

std::string method_names() {
  std::string names;
  for (const auto& named : kNames) names += (names.empty() ? "" : ", ") + std::string(named.name);
  return names;
}

std::size_t SeriesInput::steps_a_day() const {
  return static_cast<std::size_t>(std::max<std::int64_t>(1, 86400 / step.count()));
}

std::size_t SeriesInput::season() const {
  if (period != 0) return values.size() >= 2 * period ? period : 1;
  const auto day = steps_a_day();
  return values.size() >= 14 * day ? 7 * day : day > 1 && values.size() >= 2 * day ? day : 1;
}

std::vector<double> fill_gaps(std::span<const double> values, std::size_t period) {
  std::vector<double> filled(values.begin(), values.end());
  // From the same phase of the period before or after; then from whatever stands next.
  for (std::size_t i = 0; i < filled.size(); ++i) {
    if (std::isfinite(filled[i])) continue;
    const double before = i >= period ? filled[i - period] : std::nan("");
    const double after = i + period < values.size() ? values[i + period] : std::nan("");
    filled[i] = std::isfinite(before) && std::isfinite(after) ? (before + after) / 2
                : std::isfinite(before)                       ? before
                                                              : after;
  }
  double last = std::nan("");
  for (double& value : filled) last = value = std::isfinite(value) ? value : last;
  last = 0;
  for (auto value = filled.rbegin(); value != filled.rend(); ++value)
    last = *value = std::isfinite(*value) ? *value : last;
  return filled;
}

std::vector<double> believable(std::span<const double> values) {
  std::vector<double> known, result(values.begin(), values.end());
  std::ranges::copy_if(values, std::back_inserter(known), [](double value) { return std::isfinite(value); });
  if (known.empty()) return result;
  const double low = quantile(known, 0.005), high = quantile(known, 0.995), far = 3 * (high - low);
  if (!(far > 0)) return result;
  for (double& value : result) {
    if (!(value >= low - far && value <= high + far)) value = std::numeric_limits<double>::quiet_NaN();
  }
  return result;
}

}  // namespace wattd::ml
