#include "ml-lite/forecast/rehearsal.h"

#include <algorithm>
#include <cmath>

#include "ml-lite/forecast/classical.h"
#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"

namespace wattd::ml {

void ForecastAccuracy::write(ByteWriter& out) const {
  for (const double value : {mase, naive, smape, rmse}) out.real(value);
}

ForecastAccuracy ForecastAccuracy::read(ByteReader& in) {
  ForecastAccuracy accuracy;
  for (double* value : {&accuracy.mase, &accuracy.naive, &accuracy.smape, &accuracy.rmse}) *value = read_finite(in);
  return accuracy;
}

std::optional<ForecastAccuracy> Rehearsed::accuracy(std::span<const double> values, std::size_t season,
                                                    std::span<const double> effects) const {
  if (steps.empty()) return std::nullopt;
  const auto history = values.first(std::ranges::min(steps, {}, &Step::at).at);
  if (history.size() <= season) return std::nullopt;
  std::vector<double> actual, forecast, naive;
  for (const auto& step : steps) {
    actual.push_back(values[step.at]), naive.push_back(values[step.naive_at]);
    forecast.push_back(step.forecast + (effects.empty() ? 0 : effects[step.at]));
  }
  // A series that repeats itself to the bit has no error to compare with.
  const double scale = std::max(naive_scale(history, season), 1e-12 * (1 + std::abs(mean(history))));
  return ForecastAccuracy{.mase = ml::mase(actual, forecast, scale),
                          .naive = ml::mase(actual, naive, scale),
                          .smape = ml::smape(actual, forecast),
                          .rmse = root_mean_squared_error(actual, forecast)};
}

std::optional<Rehearsal> rehearse(Method method, const SeriesInput& input, std::span<const double> values) {
  constexpr std::size_t kOrigins = 6;
  const auto ahead = std::clamp<std::size_t>(values.size() / 8, 1, 7 * input.steps_a_day());
  Rehearsal rehearsal;
  // A model that thinks itself perfect says nothing of how far off it is.
  const double floor = 1e-6 * deviation(values);
  std::vector<double> measured(values.begin(), values.end());
  for (std::size_t i = 0; i < measured.size(); ++i) {
    if (input.values[i] != values[i]) measured[i] = std::nan("");
  }
  const bool slow = method == Method::sarima && slow_for_sarima(input);
  for (std::size_t i = 1; i <= (slow ? 1 : kOrigins); ++i) {
    const auto back = ahead + (i - 1) * std::max<std::size_t>(1, ahead / 2);
    if (values.size() < 2 * back) break;
    auto part = input;
    // Holes are filled anew: what was filled in knows what came after.
    const auto known_values = fill_gaps(std::span(measured).first(values.size() - back), input.season());
    part.values = known_values;
    const auto model = fit_classical(method, input, part.values);
    if (!model) break;
    Table known(input.regressors.columns());
    for (auto row = part.values.size(); row < std::min(part.values.size() + ahead, input.regressors.rows()); ++row)
      known.append(input.regressors.row(row));
    const auto path = forecast(*model, part.end(), input.step, static_cast<std::uint32_t>(ahead), known);
    const auto season = part.season(), count = part.values.size();
    for (std::size_t h = 0; h < ahead; ++h) {
      // What was filled in is nothing that came.
      const double actual = measured[count + h];
      if (std::isnan(actual)) continue;
      rehearsal.rehearsed.steps.push_back({count + h, count - season + h % season, path.mean[h]});
      if (path.deviation[h] > floor)
        rehearsal.distances.push_back({h + 1, std::abs(actual - path.mean[h]) / path.deviation[h]});
    }
  }
  if (rehearsal.rehearsed.steps.empty()) return std::nullopt;
  return rehearsal;
}

}  // namespace wattd::ml
