#include "ml-lite/forecast/additive.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"

namespace wattd::ml {
namespace {

constexpr double kDay = 86400;
constexpr std::size_t kMostTerms = 200;

/// sin and cos of `terms` multiples of a turn.
double* fourier(double turns, std::uint32_t terms, double* to) {
  for (std::uint32_t k = 1; k <= terms; ++k) {
    *to++ = std::sin(2 * std::numbers::pi * k * turns);
    *to++ = std::cos(2 * std::numbers::pi * k * turns);
  }
  return to;
}

double seconds(LocalTime at) { return static_cast<double>(at.time_since_epoch().count()); }

}  // namespace

double Additive::days(LocalTime at) const { return static_cast<double>((at - start_).count()) / kDay; }

std::size_t Additive::first(Term term) const {
  std::size_t index = 0;
  const std::size_t sizes[] = {2 + changes_.size(),    2UL * daily_, 2UL * weekly_, 2UL * yearly_, 1,
                               regressor_means_.size()};
  for (std::size_t i = 0; i < term; ++i) index += sizes[i];
  return index;
}

void Additive::fill(LocalTime at, std::span<const double> regressors, double* row) const {
  const double share = days(at) / span_days_;
  *row++ = 1;
  *row++ = share;
  for (const double change : changes_) *row++ = std::max(0.0, share - change);
  row = fourier(seconds(at) / kDay, daily_, row);
  row = fourier(seconds(at) / kDay / 7, weekly_, row);
  const auto calendar = calendar_at(at, holidays_);
  row = fourier(calendar.year_share, yearly_, row);
  *row++ = calendar.holiday;
  for (std::size_t i = 0; i < regressor_means_.size(); ++i) {
    const double value = std::isfinite(regressors[i]) ? regressors[i] : regressor_means_[i];
    *row++ = (value - regressor_means_[i]) / regressor_scales_[i];
  }
}

double Additive::sum(std::span<const double> row, std::size_t from, std::size_t to) const {
  double sum = 0;
  for (std::size_t i = from; i < to; ++i) sum += weights_[i] * row[i];
  return sum;
}

/// Which seasons and turns the history can bear, and the scales of the regressors.
void Additive::choose_terms(std::span<const LocalTime> times, const AdditiveOptions& options, const Table& regressors) {
  start_ = times.front(), end_ = times.back();
  span_days_ = days(times.back());
  std::vector<double> steps;
  for (std::size_t i = 1; i < times.size(); ++i)
    steps.push_back(static_cast<double>((times[i] - times[i - 1]).count()));
  step_seconds_ = std::max(1.0, median(steps));
  daily_ = span_days_ >= 2 && step_seconds_ <= kDay / 3 ? options.daily : 0;
  weekly_ = span_days_ >= 14 && step_seconds_ <= 2 * kDay ? options.weekly : 0;
  yearly_ = span_days_ >= 2 * 365 ? options.yearly : 0;
  for (std::uint32_t i = 1; i <= options.change_points; ++i)
    changes_.push_back(0.8 * i / (options.change_points + 1.0));
  holidays_ = options.holidays;
  for (std::size_t column = 0; column < regressors.columns(); ++column) {
    std::vector<double> known;
    for (std::size_t row = 0; row < regressors.rows(); ++row) {
      if (std::isfinite(regressors.at(row, column))) known.push_back(regressors.at(row, column));
    }
    regressor_means_.push_back(known.empty() ? 0 : mean(known));
    regressor_scales_.push_back(std::max(1e-9, deviation(known)));
  }
}

/// How much of what was off at one step is off at the next.
void Additive::remember(std::span<const double> off) {
  double together = 0, alone = 1e-12;
  for (std::size_t i = 1; i < off.size(); ++i) {
    if (std::isfinite(off[i]) && std::isfinite(off[i - 1]))
      together += off[i] * off[i - 1], alone += off[i - 1] * off[i - 1];
  }
  memory_ = std::clamp(together / alone, 0.0, 0.99);
  last_off_ = std::isfinite(off.back()) ? off.back() : 0;
}

Result<Additive> Additive::fit(std::span<const LocalTime> times, std::span<const double> values,
                               const AdditiveOptions& options, const Table& regressors) {
  const auto refuse = [](const char* why) { return fail(ErrorKind::permanent, why); };
  if (times.size() != values.size() || times.size() < 10)
    return refuse("fewer than ten values, or not one for each time");
  if (!std::ranges::is_sorted(times) || times.front() == times.back()) return refuse("the times are not in order");
  if (regressors.columns() != 0 && regressors.rows() != times.size())
    return refuse("not a row of regressors for each time");
  Additive model;
  model.choose_terms(times, options, regressors);
  const auto width = static_cast<Eigen::Index>(model.width());
  if (model.width() > 10 * kMostTerms) return refuse("too many terms");

  double largest = 0;
  for (const double value : values) largest = std::isfinite(value) ? std::max(largest, std::abs(value)) : largest;
  if (!(largest > 0) || !std::isfinite(largest)) largest = 1;
  model.scale_ = largest;
  Eigen::MatrixXd squares = Eigen::MatrixXd::Zero(width, width);
  Eigen::VectorXd products = Eigen::VectorXd::Zero(width), row(width);
  double known = 0;
  for (std::size_t i = 0; i < times.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    model.fill(times[i], regressors.columns() != 0 ? regressors.row(i) : std::span<const double>{}, row.data());
    squares.selfadjointView<Eigen::Lower>().rankUpdate(row);
    products += values[i] / largest * row;
    known += 1;
  }
  if (known < 10) return refuse("fewer than ten values are known");
  const Eigen::MatrixXd whole = squares.selfadjointView<Eigen::Lower>();

  // Laplace's prior on the turns of the trend, a normal one on the rest: solved again with the weights that the last
  // answer asks for.
  Eigen::VectorXd weights = Eigen::VectorXd::Zero(width);
  double noise = 0.01;
  const auto turns = static_cast<Eigen::Index>(model.changes_.size());
  std::vector<double> off(values.size());
  for (int round = 0; round < 8; ++round) {
    Eigen::MatrixXd penalised = whole;
    for (Eigen::Index i = 0; i < width; ++i) {
      const bool turn = i >= 2 && i < 2 + turns;
      const double turn_weight = round == 0 ? 1 / options.change_scale : 1 / std::max(1e-5, std::abs(weights[i]));
      penalised(i, i) += noise * (turn ? turn_weight / options.change_scale : i < 2 ? 1.0 / 25 : 1.0 / 100);
    }
    weights = penalised.ldlt().solve(products);
    double sum = 0;
    for (std::size_t i = 0; i < times.size(); ++i) {
      model.fill(times[i], regressors.columns() != 0 ? regressors.row(i) : std::span<const double>{}, row.data());
      off[i] = values[i] / largest - weights.dot(row);
      if (std::isfinite(off[i])) sum += off[i] * off[i];
    }
    noise = std::max(1e-12, sum / known);
  }
  model.weights_.assign(weights.begin(), weights.end());
  model.deviation_ = std::sqrt(noise);
  if (options.residual_memory) model.remember(off);
  return model;
}

double Additive::remembered(LocalTime at) const {
  const double steps = static_cast<double>((at - end_).count()) / step_seconds_;
  return memory_ > 0 && steps > 0 ? std::pow(memory_, steps) : 0;
}

Path Additive::forecast(std::span<const LocalTime> times, const Table& regressors) const {
  Path path;
  std::vector<double> row(width());
  double turning = 0;
  for (const double weight : std::span(weights_).subspan(2, changes_.size())) turning += std::abs(weight);
  const double turn_scale = changes_.empty() ? 0 : turning / static_cast<double>(changes_.size());
  const std::vector<double> nothing(regressor_means_.size(), std::nan(""));
  for (std::size_t i = 0; i < times.size(); ++i) {
    fill(times[i], regressors.columns() != 0 ? regressors.row(i) : nothing, row.data());
    const double memory = remembered(times[i]);
    path.mean.push_back(scale_ * (sum(row, 0, row.size()) + memory * last_off_));
    // The trend may turn as often and as far as it did: each turn has a variance of 2 scale², felt by what is behind
    // it.
    const double ahead = std::max(0.0, days(times[i]) / span_days_ - 1);
    const double turns = static_cast<double>(changes_.size()) / 0.8;
    const double turned = 2 * turn_scale * turn_scale * turns * ahead * ahead * ahead / 3;
    path.deviation.push_back(scale_ * std::sqrt(deviation_ * deviation_ * (1 - memory * memory) + turned));
  }
  return path;
}

void Additive::observe(LocalTime at, double value, std::span<const double> regressors) {
  if (!std::isfinite(value)) return;
  std::vector<double> row(width());
  const std::vector<double> nothing(regressor_means_.size(), std::nan(""));
  fill(at, regressors.size() == nothing.size() ? regressors : nothing, row.data());
  last_off_ = value / scale_ - sum(row, 0, row.size());
  end_ = at;
}

std::vector<Part> Additive::explain(LocalTime at, std::span<const double> regressors) const {
  std::vector<double> row(width());
  const std::vector<double> nothing(regressor_means_.size(), std::nan(""));
  fill(at, regressors.size() == nothing.size() ? regressors : nothing, row.data());
  constexpr std::string_view kNames[] = {"trend", "daily", "weekly", "yearly", "holidays", "regressors"};
  std::vector<Part> parts;
  for (const auto term : {trend, daily, weekly, yearly, holiday, regressor}) {
    const auto to = term == regressor ? row.size() : first(static_cast<Term>(term + 1));
    parts.push_back({kNames[term], scale_ * sum(row, first(term), to)});
  }
  parts.push_back({"lately", scale_ * remembered(at) * last_off_});
  return parts;
}

void Additive::write(ByteWriter& out) const {
  write_time(out, start_);
  write_time(out, end_);
  for (const auto terms : {daily_, weekly_, yearly_}) out.varint(terms);
  for (const double value : {scale_, deviation_, last_off_, memory_, step_seconds_}) out.real(value);
  write_reals(out, changes_);
  write_reals(out, regressor_means_);
  write_reals(out, regressor_scales_);
  write_reals(out, weights_);
  write_days(out, holidays_);
}

Additive Additive::read(ByteReader& in) {
  Additive model;
  model.start_ = read_time(in), model.end_ = read_time(in);
  for (auto* terms : {&model.daily_, &model.weekly_, &model.yearly_}) {
    const auto value = in.varint();
    if (value > kMostTerms) throw BadBytes("too many terms");
    *terms = static_cast<std::uint32_t>(value);
  }
  for (double* value : {&model.scale_, &model.deviation_, &model.last_off_, &model.memory_, &model.step_seconds_})
    *value = read_finite(in);
  model.changes_ = read_reals(in);
  model.regressor_means_ = read_reals(in);
  model.regressor_scales_ = read_reals(in);
  model.weights_ = read_reals(in);
  model.span_days_ = model.days(model.end_);
  if (!(model.span_days_ > 0) || !(model.step_seconds_ > 0) || !(model.memory_ >= 0 && model.memory_ < 1))
    throw BadBytes("an impossible parameter");
  if (model.regressor_scales_.size() != model.regressor_means_.size()) throw BadBytes("regressors do not match");
  if (!std::ranges::all_of(model.regressor_scales_, [](double scale) { return scale > 0; }))
    throw BadBytes("an impossible scale");
  if (model.weights_.size() != model.width()) throw BadBytes("weights do not match the terms");
  model.holidays_ = read_days(in);
  return model;
}

}  // namespace wattd::ml
