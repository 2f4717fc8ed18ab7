#include "ml-lite/forecast/series_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ml-lite/kinds.h"
#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"

namespace wattd::ml {
namespace {

/// Errors: permanent, for what no method can be fitted on.
Result<void> check(const SeriesInput& input) {
  if (input.values.size() < 4 || input.step.count() <= 0) return fail(ErrorKind::permanent, "fewer than four values");
  const auto missing =
      static_cast<std::size_t>(std::ranges::count_if(input.values, [](double value) { return !std::isfinite(value); }));
  if (missing > input.values.size() / 3)
    return fail(ErrorKind::permanent,
                fmt::format("{} of {} values are missing, at most a third may be", missing, input.values.size()));
  return {};
}

/// What is left of the values without the effect of the regressors.
std::vector<double> without(const RegressorEffect& effect, const SeriesInput& input) {
  std::vector<double> rest(input.values.begin(), input.values.end());
  for (std::size_t i = 0; i < rest.size(); ++i) rest[i] -= effect.of(input.regressors.row(i));
  return rest;
}

bool is_load(Method method) { return method == Method::load || method == Method::linear; }

/// What beats the others in rehearsals; the naive forecast where nothing can be rehearsed.
Method best_classical(const SeriesInput& input, std::span<const double> values) {
  auto best = Method::seasonal_naive;
  double least = std::numeric_limits<double>::infinity();
  for (const auto each : {Method::seasonal_naive, Method::holt_winters, Method::sarima, Method::additive}) {
    if (each == Method::sarima && slow_for_sarima(input)) continue;
    const auto rehearsal = rehearse(each, input, values);
    if (!rehearsal) continue;
    const double error = mean_absolute_error(rehearsal->steps.actual, rehearsal->steps.forecast);
    if (error < least) best = each, least = error;
  }
  return best;
}

}  // namespace

Result<SeriesModel> SeriesModel::fit(Method method, const SeriesInput& input) {
  if (const auto usable = check(input); !usable) return std::unexpected(usable.error());
  if (input.regressor_names.size() != input.regressors.columns())
    return fail(ErrorKind::permanent, "not a name for each regressor");
  if (method == Method::additive || input.regressors.columns() == 0) {
    auto model = fit_rest(method, input);
    if (model) model->regressors_ = input.regressor_names;
    return model;
  }
  const auto effect = RegressorEffect::fit(input.values, input.regressors, input.steps_a_day());
  auto rest = input;
  rest.regressors = {};
  std::vector<double> values;
  if (effect) rest.values = values = without(*effect, input);
  auto model = fit_rest(method, rest);
  if (model && effect) model->effect_ = effect, model->regressors_ = input.regressor_names;
  return model;
}

Result<SeriesModel> SeriesModel::fit_rest(Method method, const SeriesInput& input) {
  if (is_load(method)) return fit_load(method, input);
  const auto values = fill_gaps(input.values, input.season());
  if (method != Method::automatic) return fit_classical(method, input, values);
  if (input.step == std::chrono::hours(1) && values.size() >= load::Forecaster::kLeast) {
    auto model = fit_load(Method::load, input);
    if (model && model->accuracy_ && model->accuracy_->mase <= model->accuracy_->naive) return model;
  }
  return fit_classical(best_classical(input, values), input, values);
}

Result<SeriesModel> SeriesModel::fit_load(Method method, const SeriesInput& input) {
  if (input.step != std::chrono::hours(1))
    return fail(ErrorKind::permanent, "the load forecaster takes one value an hour");
  auto forecaster = load::Forecaster::fit(input.first, input.values, input.holidays,
                                          method == Method::linear ? load::Parts::ridge : load::Parts::all);
  if (!forecaster) return std::unexpected(forecaster.error());
  SeriesModel model;
  model.method_ = method, model.end_ = input.end(), model.step_ = input.step;
  model.accuracy_ = forecaster->accuracy();
  model.model_ = std::move(*forecaster);
  return model;
}

Result<SeriesModel> SeriesModel::fit_classical(Method method, const SeriesInput& input,
                                               std::span<const double> values) {
  auto fitted = ml::fit_classical(method, input, values);
  if (!fitted) return std::unexpected(fitted.error());
  SeriesModel model;
  model.method_ = method, model.end_ = input.end(), model.step_ = input.step;
  model.model_ = std::move(*fitted);
  if (const auto rehearsal = rehearse(method, input, values)) {
    model.accuracy_ = rehearsal->steps.accuracy(values, input.season());
    if (!rehearsal->distances.empty())
      model.stretch_ = {quantile(rehearsal->distances, 0.82), quantile(rehearsal->distances, 0.96)};
  }
  return model;
}

Result<void> SeriesModel::refresh(const SeriesInput& input) {
  if (const auto usable = check(input); !usable) return usable;
  auto rest = input;
  std::vector<double> values;
  if (!regressors_.empty() && (input.regressors.rows() < input.values.size() || input.regressor_names != regressors_))
    return fail(ErrorKind::permanent, "not a row of the regressors it was fitted with for each value");
  if (effect_) {
    rest.values = values = without(*effect_, input);
  }
  if (auto* forecaster = std::get_if<load::Forecaster>(&model_)) {
    if (auto done = forecaster->refresh(rest.first, rest.values); !done) return done;
  } else {
    if (method_ != Method::additive) rest.regressors = {};
    auto fitted = ml::fit_classical(method_, rest, fill_gaps(rest.values, rest.season()));
    if (!fitted) return std::unexpected(fitted.error());
    model_ = std::move(*fitted);
  }
  end_ = input.end();
  return {};
}

void SeriesModel::observe(double value, std::span<const double> regressors) {
  end_ += step_;
  if (effect_) value -= effect_->of(regressors);
  if (auto* forecaster = std::get_if<load::Forecaster>(&model_)) {
    forecaster->observe(value);
  } else {
    ml::observe(std::get<Classical>(model_), end_, value, regressors);
  }
}

std::vector<Step> SeriesModel::forecast(std::uint32_t count, const Table& ahead) const {
  std::vector<Step> steps;
  if (const auto* forecaster = std::get_if<load::Forecaster>(&model_)) {
    steps = forecaster->forecast(count);
  } else {
    const auto path = ml::forecast(std::get<Classical>(model_), end_, step_, count, ahead);
    for (std::size_t h = 0; h < path.mean.size(); ++h) {
      const double mean = path.mean[h], narrow = stretch_.eighty * path.deviation[h],
                   wide = std::max(stretch_.ninety_five * path.deviation[h], narrow);
      steps.push_back({mean, mean - narrow, mean + narrow, mean - wide, mean + wide});
    }
  }
  if (!effect_) return steps;
  for (std::size_t h = 0; h < std::min(steps.size(), ahead.rows()); ++h) {
    const double moved = effect_->of(ahead.row(h));
    auto& step = steps[h];
    for (double* value : {&step.median, &step.low80, &step.high80, &step.low95, &step.high95}) *value += moved;
  }
  return steps;
}

std::vector<Part> SeriesModel::explain(std::uint32_t step, const Table& ahead) const {
  const auto regressors = step <= ahead.rows() ? ahead.row(step - 1) : std::span<const double>{};
  const auto* forecaster = std::get_if<load::Forecaster>(&model_);
  auto parts = forecaster != nullptr ? forecaster->explain(step)
                                     : ml::explain(std::get<Classical>(model_), end_ + step_ * step, step, regressors);
  if (effect_ && !parts.empty()) parts.push_back({"regressors", regressors.empty() ? 0 : effect_->of(regressors)});
  return parts;
}

void SeriesModel::write(ByteWriter& out) const {
  out.byte(static_cast<std::uint8_t>(method_));
  write_time(out, end_);
  out.varint(static_cast<std::uint64_t>(step_.count()));
  out.real(stretch_.eighty), out.real(stretch_.ninety_five);
  out.byte(accuracy_.has_value());
  if (accuracy_) accuracy_->write(out);
  out.byte(effect_.has_value());
  if (effect_) effect_->write(out);
  out.varint(regressors_.size());
  for (const auto& name : regressors_) out.text(name);
  if (const auto* forecaster = std::get_if<load::Forecaster>(&model_)) {
    forecaster->write(out);
  } else {
    write_any(out, std::get<Classical>(model_));
  }
}

SeriesModel SeriesModel::read(ByteReader& in) {
  SeriesModel model;
  const auto method = in.byte();
  if (method == 0 || method > static_cast<std::uint8_t>(Method::lstm)) throw BadBytes("an unknown method");
  model.method_ = static_cast<Method>(method);
  model.end_ = read_time(in);
  const auto step = in.varint();
  if (step == 0 || step > 366ULL * 86400) throw BadBytes("an impossible step");
  model.step_ = std::chrono::seconds(step);
  model.stretch_ = {read_finite(in), read_finite(in)};
  if (model.stretch_.eighty < 0 || model.stretch_.ninety_five < 0) throw BadBytes("an impossible band");
  if (in.byte() != 0) model.accuracy_ = ForecastAccuracy::read(in);
  if (in.byte() != 0) model.effect_ = RegressorEffect::read(in);
  model.regressors_.resize(in.count(1));
  for (auto& name : model.regressors_) name = in.text();
  if (is_load(model.method_)) {
    model.model_ = load::Forecaster::read(in);
  } else {
    model.model_ = read_any<Classical>(in);
  }
  const auto* classical = std::get_if<Classical>(&model.model_);
  const auto* additive = classical != nullptr ? std::get_if<Additive>(classical) : nullptr;
  const auto expected = model.effect_ ? model.effect_->regressors() : additive != nullptr ? additive->regressors() : 0;
  if (model.regressors_.size() != expected) throw BadBytes("names do not match the regressors");
  return model;
}

}  // namespace wattd::ml
