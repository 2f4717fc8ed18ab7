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

std::vector<double> effects_of(const RegressorEffect& effect, const SeriesInput& input) {
  std::vector<double> effects;
  for (std::size_t i = 0; i < input.values.size(); ++i) effects.push_back(effect.of(input.regressors.row(i)));
  return effects;
}

/// What is left of the values; nothing (NaN) where the effect is not known.
std::vector<double> without(std::span<const double> effects, std::span<const double> values) {
  std::vector<double> rest(values.begin(), values.end());
  for (std::size_t i = 0; i < rest.size(); ++i) rest[i] -= effects[i];
  return rest;
}

bool is_load(Method method) { return method == Method::load || method == Method::linear; }

/// What beats the others in rehearsals; the naive forecast where nothing can be rehearsed.
std::pair<Method, std::optional<Rehearsal>> best_classical(const SeriesInput& input, std::span<const double> values) {
  auto best = Method::seasonal_naive;
  std::optional<Rehearsal> its;
  double least = std::numeric_limits<double>::infinity();
  for (const auto each : {Method::seasonal_naive, Method::holt_winters, Method::sarima, Method::additive}) {
    if (each == Method::sarima && slow_for_sarima(input)) continue;
    auto rehearsal = rehearse(each, input, values);
    const auto accuracy = rehearsal ? rehearsal->rehearsed.accuracy(values, input.season()) : std::nullopt;
    if (accuracy && accuracy->mase < least) best = each, least = accuracy->mase, its = std::move(rehearsal);
  }
  return {best, std::move(its)};
}

}  // namespace

Result<SeriesModel> SeriesModel::fit(Method method, const SeriesInput& input) {
  if (const auto usable = check(input); !usable) return std::unexpected(usable.error());
  if (input.regressor_names.size() != input.regressors.columns())
    return fail(ErrorKind::permanent, "not a name for each regressor");
  if (input.regressors.columns() > RegressorEffect::kMost)
    return fail(ErrorKind::permanent, fmt::format("{} regressors, at most {}: keep those that matter",
                                                  input.regressors.columns(), RegressorEffect::kMost));
  auto rest = input;
  std::optional<RegressorEffect> effect;
  std::vector<double> effects, values;
  if (method != Method::additive) {
    rest.regressors = {}, rest.regressor_names.clear();
    effect = RegressorEffect::fit(input.values, input.regressors, input.steps_a_day());
  }
  if (effect) {
    effects = effects_of(*effect, input);
    rest.values = values = without(effects, input.values);
  }
  const auto season = input.season();
  const auto whole = fill_gaps(believable(input.values), season);
  auto model = fit_rest(method, rest, [&](const Rehearsed& said) { return said.accuracy(whole, season, effects); });
  if (!model) return model;
  if (effect || method == Method::additive) model->regressors_ = input.regressor_names;
  model->effect_ = std::move(effect);
  return model;
}

Result<SeriesModel> SeriesModel::fit_rest(Method method, const SeriesInput& input, const Worth& worth) {
  if (is_load(method)) return fit_load(method, input, worth);
  const auto values = fill_gaps(believable(input.values), input.season());
  if (method != Method::automatic) return fit_classical(method, input, values, rehearse(method, input, values), worth);
  if (input.step == std::chrono::hours(1) && values.size() >= load::Forecaster::kLeast) {
    auto model = fit_load(Method::load, input, worth);
    if (model && model->accuracy_ && model->accuracy_->mase <= model->accuracy_->naive) return model;
  }
  const auto [best, rehearsal] = best_classical(input, values);
  return fit_classical(best, input, values, rehearsal, worth);
}

Result<SeriesModel> SeriesModel::fit_load(Method method, const SeriesInput& input, const Worth& worth) {
  if (input.step != std::chrono::hours(1))
    return fail(ErrorKind::permanent, "the load forecaster takes one value an hour");
  Rehearsed rehearsed;
  auto forecaster = load::Forecaster::fit(input.first, input.values, input.holidays,
                                          method == Method::linear ? load::Parts::ridge : load::Parts::all, &rehearsed);
  if (!forecaster) return std::unexpected(forecaster.error());
  SeriesModel model;
  model.method_ = method, model.end_ = input.end(), model.step_ = input.step;
  model.accuracy_ = worth(rehearsed);
  model.model_ = std::move(*forecaster);
  return model;
}

Result<SeriesModel> SeriesModel::fit_classical(Method method, const SeriesInput& input, std::span<const double> values,
                                               const std::optional<Rehearsal>& rehearsal, const Worth& worth) {
  auto fitted = ml::fit_classical(method, input, values);
  if (!fitted) return std::unexpected(fitted.error());
  SeriesModel model;
  model.method_ = method, model.end_ = input.end(), model.step_ = input.step;
  model.model_ = std::move(*fitted);
  if (!rehearsal) return model;
  model.accuracy_ = worth(rehearsal->rehearsed);
  model.stretch_by(*rehearsal, input.steps_a_day());
  return model;
}

void SeriesModel::stretch_by(const Rehearsal& rehearsal, std::size_t day) {
  // A model's own idea of how sure it is may be right for the week and far too sure for the next hours.
  constexpr std::size_t kLeast = 30;
  std::vector<Stretch> stretches;
  std::vector<double> some;
  const auto take = [&](std::uint64_t up_to, const std::vector<double>& distances) {
    stretches.push_back({up_to, quantile(distances, 0.82), quantile(distances, 0.96)});
  };
  std::size_t from = 0;
  for (const auto up_to : {std::max<std::size_t>(1, day / 4), day, 3 * day, std::numeric_limits<std::size_t>::max()}) {
    if (up_to <= from) continue;
    for (const auto& [ahead, off] : rehearsal.distances) {
      if (ahead > from && ahead <= up_to) some.push_back(off);
    }
    from = up_to;
    if (some.size() < kLeast) continue;  // They count among those farther ahead.
    take(up_to, some);
    some.clear();
  }
  if (stretches.empty() && !some.empty()) take(0, some);
  if (!stretches.empty()) stretches_ = std::move(stretches);
}

const SeriesModel::Stretch& SeriesModel::stretch_at(std::size_t ahead) const {
  const auto found = std::ranges::lower_bound(stretches_, ahead, {}, &Stretch::up_to);
  return found == stretches_.end() ? stretches_.back() : *found;
}

Result<void> SeriesModel::refresh(const SeriesInput& input) {
  if (const auto usable = check(input); !usable) return usable;
  auto rest = input;
  std::vector<double> values;
  if (!regressors_.empty() && (input.regressors.rows() < input.values.size() || input.regressor_names != regressors_))
    return fail(ErrorKind::permanent, "not a row of the regressors it was fitted with for each value");
  if (effect_) rest.values = values = without(effects_of(*effect_, input), input.values);
  if (auto* forecaster = std::get_if<load::Forecaster>(&model_)) {
    if (auto done = forecaster->refresh(rest.first, rest.values); !done) return done;
  } else {
    // Taken off already, or not worth it; else they are the additive model's own.
    if (effect_ || regressors_.empty()) rest.regressors = {};
    auto fitted = ml::fit_classical(method_, rest, fill_gaps(believable(rest.values), rest.season()));
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
      const auto& stretch = stretch_at(h + 1);
      const double mean = path.mean[h], narrow = stretch.eighty * path.deviation[h],
                   wide = std::max(stretch.ninety_five * path.deviation[h], narrow);
      steps.push_back({mean, mean - narrow, mean + narrow, mean - wide, mean + wide});
    }
  }
  if (!effect_) return steps;
  for (std::size_t h = 0; h < steps.size(); ++h) {
    const double moved = h < ahead.rows() ? effect_->of(ahead.row(h)) : std::nan("");
    auto& [median, low80, high80, low95, high95] = steps[h];
    if (std::isfinite(moved)) {
      for (double* value : {&median, &low80, &high80, &low95, &high95}) *value += moved;
      continue;
    }
    // Nobody knows: the mean effect is none, and the bands are as much wider as effects differ.
    const auto widened = [&](double edge, double deviations) {
      return median + std::copysign(std::hypot(edge - median, deviations * effect_->deviation()), edge - median);
    };
    low80 = widened(low80, 1.2816), low95 = widened(low95, 1.96);
    high80 = widened(high80, 1.2816), high95 = widened(high95, 1.96);
  }
  return steps;
}

std::vector<Part> SeriesModel::explain(std::uint32_t step, const Table& ahead) const {
  const auto regressors = step <= ahead.rows() ? ahead.row(step - 1) : std::span<const double>{};
  const auto* forecaster = std::get_if<load::Forecaster>(&model_);
  auto parts = forecaster != nullptr ? forecaster->explain(step)
                                     : ml::explain(std::get<Classical>(model_), end_ + step_ * step, step, regressors);
  if (effect_ && !parts.empty()) {
    const double moved = effect_->of(regressors);
    parts.push_back({"regressors", std::isfinite(moved) ? moved : 0});
  }
  return parts;
}

void SeriesModel::write(ByteWriter& out) const {
  out.byte(static_cast<std::uint8_t>(method_));
  write_time(out, end_);
  out.varint(static_cast<std::uint64_t>(step_.count()));
  out.varint(stretches_.size());
  for (const auto& stretch : stretches_)
    out.varint(stretch.up_to), out.real(stretch.eighty), out.real(stretch.ninety_five);
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
  model.stretches_.resize(in.count(17));
  for (auto& stretch : model.stretches_) {
    stretch = {in.varint(), read_finite(in), read_finite(in)};
    if (stretch.eighty < 0 || stretch.ninety_five < 0) throw BadBytes("an impossible band");
  }
  if (model.stretches_.empty() || !std::ranges::is_sorted(model.stretches_, {}, &Stretch::up_to))
    throw BadBytes("bands do not follow each other");
  if (in.byte() != 0) model.accuracy_ = ForecastAccuracy::read(in);
  if (in.byte() != 0) model.effect_ = RegressorEffect::read(in);
  model.regressors_.resize(in.count(1));
  for (auto& name : model.regressors_) name = in.text();
  if (is_load(model.method_)) {
    auto forecaster = load::Forecaster::read(in);
    if (model.step_ != std::chrono::hours(1) || forecaster.end() != model.end_)
      throw BadBytes("the hours do not match the series");
    model.model_ = std::move(forecaster);
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
