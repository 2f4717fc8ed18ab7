#include "ml-lite/forecast/smoothing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ml-lite/measures.h"
#include "ml-lite/minimise.h"
#include "ml-lite/model_file.h"

namespace wattd::ml {
namespace {

double between(double low, double high, double free) { return low + (high - low) / (1 + std::exp(-free)); }

}  // namespace

double Smoothing::without_season(std::uint32_t steps) const {
  double value = level_, damped = damping_;
  if (form_.trend) {
    for (std::uint32_t h = 0; h < steps && std::abs(damped) > 1e-9; ++h, damped *= damping_) value += damped * slope_;
  }
  return value;
}

double Smoothing::ahead(std::uint32_t steps) const {
  const double value = without_season(steps);
  if (form_.season == Season::none) return value;
  const double season = season_[(next_ + steps - 1) % season_.size()];
  return form_.season == Season::additive ? value + season : value * season;
}

std::vector<Part> Smoothing::explain(std::uint32_t step) const {
  const double value = without_season(step);
  return {{"level", value}, {"season", ahead(step) - value}};
}

void Smoothing::observe(double value) {
  const double expected = ahead(1);
  const double error = std::isfinite(value) ? value - expected : 0;
  const double trend = form_.trend ? damping_ * slope_ : 0;
  double level_error = error;
  if (form_.season != Season::none) {
    auto& season = season_[next_];
    if (form_.season == Season::additive) {
      season += gamma_ * error;
    } else {
      level_error = error / std::max(season, 1e-6);
      const double below = level_ + trend;
      season = std::max(1e-6, season + gamma_ * error / (std::abs(below) > 1e-12 ? below : 1e-12));
    }
    next_ = (next_ + 1) % static_cast<std::uint32_t>(season_.size());
  }
  level_ += trend + alpha_ * level_error;
  if (form_.trend) slope_ = trend + beta_ * level_error;
}

/// Level, trend and season of the first two periods.
void Smoothing::start(std::span<const double> values, std::uint32_t period) {
  next_ = 0;
  const double first = mean(values.first(period)), second = mean(values.subspan(period, period));
  level_ = first;
  slope_ = form_.trend ? (second - first) / period : 0;
  season_.assign(form_.season == Season::none ? 0 : period, 0);
  for (std::size_t i = 0; i < season_.size(); ++i) {
    season_[i] = form_.season == Season::additive
                     ? (values[i] - first + values[i + period] - second) / 2
                     : std::max(1e-6, (values[i] / first + values[i + period] / second) / 2);
  }
}

double Smoothing::squares(std::span<const double> values) const {
  Smoothing copy = *this;
  double sum = 0;
  for (const double value : values) {
    const double error = value - copy.ahead(1);
    sum += error * error;
    copy.observe(value);
  }
  return sum;
}

Result<Smoothing> Smoothing::fit(std::span<const double> values, std::uint32_t period, SmoothingForm form) {
  if (period < 1 || values.size() < std::max<std::size_t>(2 * period, 10))
    return fail(ErrorKind::permanent, fmt::format("{} values are fewer than two periods of {}", values.size(), period));
  if (!std::ranges::all_of(values, [](double value) { return std::isfinite(value); }))
    return fail(ErrorKind::permanent, "a value is missing");
  if (period == 1) form.season = Season::none;
  if (form.season == Season::multiplicative && std::ranges::min(values) <= 0)
    return fail(ErrorKind::permanent, "a season that multiplies needs values above 0");
  Smoothing model;
  model.form_ = form;
  model.start(values, period);
  const auto with = [&](const std::vector<double>& x) {
    Smoothing tried = model;
    tried.alpha_ = between(1e-4, 0.9999, x[0]);
    std::size_t next = 1;
    if (form.trend) tried.beta_ = between(0, tried.alpha_, x[next++]), tried.damping_ = between(0.8, 0.98, x[next++]);
    if (form.season != Season::none) tried.gamma_ = between(0, 1 - tried.alpha_, x[next]);
    return tried;
  };
  const auto n = static_cast<double>(values.size());
  std::vector<double> begin{-1};
  if (form.trend) begin.insert(begin.end(), {-2, 2});
  if (form.season != Season::none) begin.push_back(-2);
  const auto loss = [&](const std::vector<double>& x) { return std::log(with(x).squares(values) / n + 1e-300); };
  const auto best = minimise(loss, begin, 30, 1e-6);
  model = with(best.at);
  model.variance_ = model.squares(values) / n;
  const double parameters = static_cast<double>(begin.size() + 2 + model.season_.size());
  model.aicc_ = n * std::log(model.variance_ + 1e-300) + 2 * parameters * n / std::max(1.0, n - parameters - 1);
  for (const double value : values) model.observe(value);
  if (!std::isfinite(model.level_)) return fail(ErrorKind::permanent, "the values are too large to be smoothed");
  return model;
}

Result<Smoothing> Smoothing::fit(std::span<const double> values, std::uint32_t period) {
  Result<Smoothing> best = fail(ErrorKind::permanent, "");
  std::vector<Season> seasons{period == 1 ? Season::none : Season::additive};
  if (period > 1 && !values.empty() && std::ranges::min(values) > 0) seasons.push_back(Season::multiplicative);
  for (const auto season : seasons) {
    for (const bool trend : {false, true}) {
      auto tried = fit(values, period, {trend, season});
      if (!tried && !best) best = tried;
      if (tried && (!best || tried->aicc() < best->aicc())) best = std::move(tried);
    }
  }
  return best;
}

Path Smoothing::forecast(std::uint32_t steps) const {
  Path path;
  // Weights of the shocks between now and then (class 1 of Hyndman et al.; the multiplied season follows its level).
  double squares = 0, damped = 0, power = 1;
  for (std::uint32_t h = 1; h <= steps; ++h) {
    path.mean.push_back(ahead(h));
    path.deviation.push_back(std::sqrt(variance_ * (1 + squares)));
    power *= damping_, damped += power;
    const bool season = form_.season != Season::none && h % season_.size() == 0;
    const double weight = alpha_ + (form_.trend ? beta_ * damped : 0) + (season ? gamma_ : 0);
    squares += weight * weight;
  }
  return path;
}

void Smoothing::write(ByteWriter& out) const {
  out.byte(form_.trend);
  out.byte(static_cast<std::uint8_t>(form_.season));
  for (const double value : {alpha_, beta_, gamma_, damping_, level_, slope_, variance_, aicc_}) out.real(value);
  out.varint(next_);
  write_reals(out, season_);
}

Smoothing Smoothing::read(ByteReader& in) {
  Smoothing model;
  model.form_.trend = in.byte() != 0;
  const auto season = in.byte();
  if (season > static_cast<std::uint8_t>(Season::multiplicative)) throw BadBytes("an unknown season");
  model.form_.season = static_cast<Season>(season);
  for (double* value : {&model.alpha_, &model.beta_, &model.gamma_, &model.damping_, &model.level_, &model.slope_,
                        &model.variance_, &model.aicc_})
    *value = read_finite(in);
  const auto is_share = [](double value) { return value >= 0 && value <= 1; };
  if (model.variance_ < 0 || std::abs(model.damping_) > 1 || !is_share(model.alpha_) || !is_share(model.beta_) ||
      !is_share(model.gamma_))
    throw BadBytes("an impossible parameter");
  const auto next = in.varint();
  model.season_ = read_reals(in);
  if (model.season_.empty() != (model.form_.season == Season::none)) throw BadBytes("the season does not fit the form");
  if (next >= std::max<std::size_t>(1, model.season_.size())) throw BadBytes("the season does not go that far");
  model.next_ = static_cast<std::uint32_t>(next);
  return model;
}

}  // namespace wattd::ml
