#include "ml-lite/forecast/classical.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace wattd::ml {
namespace {

constexpr std::size_t kSarimaDays = 28;     ///< More makes it slower and hardly better …
constexpr std::size_t kSarimaValues = 960;  ///< … and so do more values, of shorter steps.
constexpr std::size_t kSarimaSeason = 48;   ///< Beyond it a fit takes a minute.

template <class Model>
Result<Classical> one_of(Result<Model> model) {
  if (!model) return std::unexpected(model.error());
  return Classical(std::move(*model));
}

Result<Sarima> fit_sarima(const SeriesInput& input, std::span<const double> values) {
  const auto day = input.steps_a_day();
  const auto kept = std::min({values.size(), kSarimaDays * day, kSarimaValues});
  const auto season = input.period != 0 ? input.period : day == 1 ? 7 : day;
  if (season > 400)
    return fail(ErrorKind::permanent,
                "a season of more than 400 steps is too long for SARIMA: aggregate to hours first");
  const SarimaOrder order{.season = static_cast<std::uint32_t>(std::max<std::size_t>(2, season))};
  return Sarima::fit(values.last(day == 1 ? values.size() : kept), {.order = order});
}

Result<Additive> fit_additive(const SeriesInput& input, std::span<const double> values) {
  std::vector<LocalTime> times;
  for (std::size_t i = 0; i < values.size(); ++i)
    times.push_back(input.first + input.step * static_cast<std::int64_t>(i));
  Table known(input.regressors.columns());
  for (std::size_t i = 0; i < std::min(values.size(), input.regressors.rows()); ++i)
    known.append(input.regressors.row(i));
  if (known.columns() != 0 && known.rows() != values.size())
    return fail(ErrorKind::permanent, "not a row of regressors for each value");
  return Additive::fit(times, values, {.holidays = input.holidays}, known);
}

}  // namespace

bool slow_for_sarima(const SeriesInput& input) { return input.steps_a_day() > kSarimaSeason; }

Result<Classical> fit_classical(Method method, const SeriesInput& input, std::span<const double> values) {
  auto part = input;
  part.values = values;
  switch (method) {
    case Method::seasonal_naive: return one_of(SeasonalNaive::fit(values, part.season()));
    case Method::holt_winters: return one_of(Smoothing::fit(values, static_cast<std::uint32_t>(part.season())));
    case Method::sarima: return one_of(fit_sarima(part, values));
    case Method::additive: return one_of(fit_additive(part, values));
    case Method::lstm:
      return one_of(Lstm::fit(part.end(), part.step, values,
                              {.day = static_cast<std::uint32_t>(part.steps_a_day()), .holidays = part.holidays}));
    case Method::automatic:
    case Method::load:
    case Method::linear: break;
  }
  return fail(ErrorKind::permanent, "no such method for this series");
}

Path forecast(const Classical& model, LocalTime end, std::chrono::seconds step, std::uint32_t steps,
              const Table& ahead) {
  const auto* additive = std::get_if<Additive>(&model);
  if (additive == nullptr) {
    return std::visit(
        [&](const auto& each) -> Path {
          if constexpr (requires { each.forecast(steps); }) {
            return each.forecast(steps);
          } else {
            return {};
          }
        },
        model);
  }
  std::vector<LocalTime> times;
  Table rows(additive->regressors());
  const std::vector<double> unknown(additive->regressors(), std::numeric_limits<double>::quiet_NaN());
  for (std::uint32_t h = 1; h <= steps; ++h) {
    times.push_back(end + step * h);
    rows.append(h <= ahead.rows() && ahead.columns() == unknown.size() ? ahead.row(h - 1) : unknown);
  }
  return additive->forecast(times, rows);
}

std::vector<Part> explain(const Classical& model, LocalTime at, std::uint32_t h, std::span<const double> regressors) {
  return std::visit(
      [&](const auto& each) -> std::vector<Part> {
        if constexpr (requires { each.explain(h); }) {
          return each.explain(h);
        } else if constexpr (requires { each.explain(at, regressors); }) {
          return each.explain(at, regressors);
        } else {
          return {};
        }
      },
      model);
}

void observe(Classical& model, LocalTime at, double value, std::span<const double> regressors) {
  std::visit(
      [&](auto& each) {
        if constexpr (requires { each.observe(value); }) {
          each.observe(value);
        } else {
          each.observe(at, value, regressors);
        }
      },
      model);
}

}  // namespace wattd::ml
