#include "ml-lite/forecast/choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "ml-lite/forecast/additive.h"
#include "ml-lite/forecast/lstm.h"
#include "ml-lite/forecast/sarima.h"
#include "ml-lite/forecast/smoothing.h"
#include "ml-lite/load/forecaster.h"
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

constexpr std::size_t kSarimaDays = 28;     ///< More makes it slower and hardly better …
constexpr std::size_t kSarimaValues = 960;  ///< … and so do more values, of shorter steps.
constexpr std::size_t kSarimaSeason = 48;   ///< Beyond it a fit takes minutes: never of its own accord.

/// A model without bands.
class Plain {
 public:
  virtual ~Plain() = default;
  virtual void observe(double value) = 0;
  virtual Path forecast(std::uint32_t steps) const = 0;
};

std::size_t steps_a_day(const SeriesInput& input) {
  return static_cast<std::size_t>(std::max<std::int64_t>(1, 86400 / input.step.count()));
}

/// What repeats itself: the week where it was seen twice, else the day, else (steps of a day and more) the week of
/// days.
std::size_t period_of(const SeriesInput& input) {
  if (input.period != 0) return input.values.size() >= 2 * input.period ? input.period : 1;
  const auto day = steps_a_day(input);
  return input.values.size() >= 14 * day ? 7 * day : day > 1 && input.values.size() >= 2 * day ? day : 1;
}

class SeasonalNaive : public Plain {
 public:
  SeasonalNaive(std::span<const double> values, std::size_t period)
      : last_(values.end() - static_cast<std::ptrdiff_t>(period), values.end()) {
    std::vector<double> off;
    for (std::size_t i = period; i < values.size(); ++i) off.push_back(values[i] - values[i - period]);
    deviation_ = std::max(1e-12, ml::deviation(off));
  }
  void observe(double value) override {
    last_.push_back(std::isfinite(value) ? value : last_.front());
    last_.erase(last_.begin());
  }
  Path forecast(std::uint32_t steps) const override {
    Path path;
    for (std::size_t h = 0; h < steps; ++h) {
      path.mean.push_back(last_[h % last_.size()]);
      path.deviation.push_back(deviation_ * std::sqrt(1 + static_cast<double>(h / last_.size())));
    }
    return path;
  }

 private:
  std::vector<double> last_;
  double deviation_;
};

template <class Model>
class Wrapped : public Plain {
 public:
  explicit Wrapped(Model model) : model_(std::move(model)) {}
  void observe(double value) override { model_.observe(value); }
  Path forecast(std::uint32_t steps) const override { return model_.forecast(steps); }

 private:
  Model model_;
};

class WrappedAdditive : public Plain {
 public:
  WrappedAdditive(Additive model, LocalTime end, std::chrono::seconds step, Table regressors)
      : model_(std::move(model)), end_(end), step_(step), regressors_(std::move(regressors)) {}
  void observe(double value) override {
    model_.observe(end_ += step_, value,
                   passed_ < regressors_.rows() ? regressors_.row(passed_) : std::span<const double>{});
    ++passed_;
  }
  Path forecast(std::uint32_t steps) const override {
    std::vector<LocalTime> times;
    for (std::uint32_t h = 1; h <= steps; ++h) times.push_back(end_ + step_ * h);
    if (regressors_.columns() == 0) return model_.forecast(times);
    Table ahead(regressors_.columns());
    const std::vector<double> unknown(regressors_.columns(), std::nan(""));  // Taken for the mean.
    for (std::size_t h = 0; h < steps; ++h)
      ahead.append(passed_ + h < regressors_.rows() ? regressors_.row(passed_ + h) : unknown);
    return model_.forecast(times, ahead);
  }

 private:
  Additive model_;
  LocalTime end_;
  std::chrono::seconds step_;
  Table regressors_;        ///< Of the steps behind the end.
  std::size_t passed_ = 0;  ///< Of them.
};

template <class Model>
Result<std::unique_ptr<Plain>> wrapped(Result<Model> model) {
  if (!model) return std::unexpected(model.error());
  return std::make_unique<Wrapped<Model>>(std::move(*model));
}

/// Fits on the first `count` values.
Result<std::unique_ptr<Plain>> fit_plain(Method method, const SeriesInput& input, std::span<const double> values) {
  const auto day = steps_a_day(input);
  const auto end = input.first + input.step * static_cast<std::int64_t>(values.size() - 1);
  SeriesInput part = input;
  part.values = values;
  const auto period = period_of(part);
  switch (method) {
    case Method::seasonal_naive:
      if (values.size() < 2 * period) return fail(ErrorKind::permanent, "the series is shorter than two periods");
      return std::make_unique<SeasonalNaive>(values, period);
    case Method::holt_winters: return wrapped(Smoothing::fit(values, static_cast<std::uint32_t>(period)));
    case Method::sarima: {
      const auto kept = std::min({values.size(), kSarimaDays * day, kSarimaValues});
      const auto season = input.period != 0 ? input.period : day == 1 ? 7 : day;
      if (season > 400)
        return fail(ErrorKind::permanent,
                    "a season of more than 400 steps is too long for SARIMA: aggregate to hours first");
      SarimaOrder order{.season = static_cast<std::uint32_t>(std::max<std::size_t>(2, season))};
      return wrapped(Sarima::fit(values.last(day == 1 ? values.size() : kept), {.order = order}));
    }
    case Method::additive: {
      std::vector<LocalTime> times;
      for (std::size_t i = 0; i < values.size(); ++i)
        times.push_back(input.first + input.step * static_cast<std::int64_t>(i));
      Table known(input.regressors.columns()), ahead(input.regressors.columns());
      for (std::size_t i = 0; i < input.regressors.rows(); ++i)
        (i < values.size() ? known : ahead).append(input.regressors.row(i));
      if (known.columns() != 0 && known.rows() != values.size())
        return fail(ErrorKind::permanent, "not a row of regressors for each value");
      auto model = Additive::fit(times, values, {.holidays = input.holidays}, known);
      if (!model) return std::unexpected(model.error());
      return std::make_unique<WrappedAdditive>(std::move(*model), end, input.step, std::move(ahead));
    }
    case Method::lstm:
      return wrapped(
          Lstm::fit(end, input.step, values, {.day = static_cast<std::uint32_t>(day), .holidays = input.holidays}));
    case Method::automatic:
    case Method::load:
    case Method::linear: break;
  }
  return fail(ErrorKind::permanent, "no such method for this series");
}

/// A plain model whose deviations are stretched so that they would have covered what came after earlier origins.
class Banded : public SeriesModel {
 public:
  Banded(Method method, std::unique_ptr<Plain> plain, double eighty, double ninety_five)
      : method_(method), plain_(std::move(plain)), eighty_(eighty), ninety_five_(ninety_five) {}
  void observe(double value) override { plain_->observe(value); }
  std::vector<Step> forecast(std::uint32_t count) const override {
    const auto path = plain_->forecast(count);
    std::vector<Step> steps;
    for (std::size_t h = 0; h < path.mean.size(); ++h) {
      const double mean = path.mean[h], narrow = eighty_ * path.deviation[h],
                   wide = std::max(ninety_five_ * path.deviation[h], narrow);
      steps.push_back({mean, mean - narrow, mean + narrow, mean - wide, mean + wide});
    }
    return steps;
  }
  Method method() const override { return method_; }

 private:
  Method method_;
  std::unique_ptr<Plain> plain_;
  double eighty_, ninety_five_;
};

struct Rehearsed {
  std::vector<double> distances;  ///< In the model's own deviations.
  double error = 0;               ///< Mean absolute.
};

/// Fits at some earlier origins, a day apart at least, and looks at what came in the week after each.
std::optional<Rehearsed> rehearse(Method method, const SeriesInput& input, std::span<const double> values) {
  constexpr std::size_t kOrigins = 6;
  const auto ahead = std::clamp<std::size_t>(values.size() / 8, 1, 7 * steps_a_day(input));
  Rehearsed result;
  std::vector<double> errors;
  // A model that thinks itself perfect says nothing of how far off it is.
  const double floor = 1e-6 * deviation(values);
  const bool slow = method == Method::sarima && steps_a_day(input) > kSarimaSeason;
  for (std::size_t i = 1; i <= (slow ? 1 : kOrigins); ++i) {
    const auto back = ahead + (i - 1) * std::max<std::size_t>(1, ahead / 2);
    if (values.size() < 2 * back) break;
    const auto known = values.first(values.size() - back);
    const auto model = fit_plain(method, input, known);
    if (!model) break;
    const auto path = (*model)->forecast(static_cast<std::uint32_t>(ahead));
    for (std::size_t h = 0; h < ahead; ++h) {
      errors.push_back(std::abs(values[known.size() + h] - path.mean[h]));
      if (path.deviation[h] > floor) result.distances.push_back(errors.back() / path.deviation[h]);
    }
  }
  if (errors.empty()) return std::nullopt;
  result.error = mean(errors);
  return result;
}

Result<std::unique_ptr<SeriesModel>> fit_banded(Method method, const SeriesInput& input,
                                                std::span<const double> values) {
  auto plain = fit_plain(method, input, values);
  if (!plain) return std::unexpected(plain.error());
  const auto rehearsed = rehearse(method, input, values);
  const bool usable = rehearsed && !rehearsed->distances.empty();
  const double eighty = usable ? quantile(rehearsed->distances, 0.82) : 1.2816;
  const double ninety_five = usable ? quantile(rehearsed->distances, 0.96) : 1.96;
  return std::make_unique<Banded>(method, std::move(*plain), eighty, ninety_five);
}

class LoadModel : public SeriesModel {
 public:
  LoadModel(load::Forecaster forecaster, Method method) : forecaster_(std::move(forecaster)), method_(method) {}
  void observe(double value) override { forecaster_.observe(value); }
  std::vector<Step> forecast(std::uint32_t steps) const override { return forecaster_.forecast(steps); }
  Method method() const override { return method_; }

 private:
  load::Forecaster forecaster_;
  Method method_;
};

Result<std::unique_ptr<SeriesModel>> fit_load(Method method, const SeriesInput& input) {
  if (input.step != std::chrono::hours(1))
    return fail(ErrorKind::permanent, "the load forecaster takes one value an hour");
  auto forecaster = load::Forecaster::fit(input.first, input.values, input.holidays,
                                          method == Method::linear ? load::Parts::ridge : load::Parts::all);
  if (!forecaster) return std::unexpected(forecaster.error());
  return std::make_unique<LoadModel>(std::move(*forecaster), method);
}

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

Result<std::unique_ptr<SeriesModel>> fit_series(Method method, const SeriesInput& input) {
  if (input.values.size() < 4 || input.step.count() <= 0) return fail(ErrorKind::permanent, "fewer than four values");
  const auto missing =
      static_cast<std::size_t>(std::ranges::count_if(input.values, [](double value) { return !std::isfinite(value); }));
  if (missing > input.values.size() / 3)
    return fail(ErrorKind::permanent,
                fmt::format("{} of {} values are missing, at most a third may be", missing, input.values.size()));
  if (method == Method::load || method == Method::linear) return fit_load(method, input);
  const auto values = fill_gaps(input.values, period_of(input));
  if (method != Method::automatic) return fit_banded(method, input, values);
  if (input.step == std::chrono::hours(1) && values.size() >= load::Forecaster::kLeast) {
    auto forecaster = fit_load(Method::load, input);
    if (forecaster) return forecaster;
  }
  auto best = Method::seasonal_naive;
  double least = std::numeric_limits<double>::infinity();
  for (const auto each : {Method::seasonal_naive, Method::holt_winters, Method::sarima, Method::additive}) {
    if (each == Method::sarima && steps_a_day(input) > kSarimaSeason) continue;
    const auto rehearsed = rehearse(each, input, values);
    if (rehearsed && rehearsed->error < least) best = each, least = rehearsed->error;
  }
  return fit_banded(best, input, values);
}

}  // namespace wattd::ml
