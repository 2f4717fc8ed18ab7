#include "ml-lite/forecast/sarima.h"

#include <fmt/format.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "ml-lite/measures.h"
#include "ml-lite/minimise.h"
#include "ml-lite/model_file.h"

namespace wattd::ml {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using Polynomial = std::vector<double>;  ///< In the backshift operator; the constant first.

Polynomial times(const Polynomial& a, const Polynomial& b) {
  Polynomial product(a.size() + b.size() - 1);
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < b.size(); ++j) product[i + j] += a[i] * b[j];
  }
  return product;
}

/// 1 + sign × (c1 B^s + c2 B^2s + …).
Polynomial polynomial(std::span<const double> coefficients, std::size_t spacing, double sign) {
  Polynomial result(coefficients.size() * spacing + 1);
  result[0] = 1;
  for (std::size_t i = 0; i < coefficients.size(); ++i) result[(i + 1) * spacing] = sign * coefficients[i];
  return result;
}

Polynomial differencing(const SarimaOrder& order) {
  Polynomial result{1};
  const double one[] = {1};
  for (std::uint32_t i = 0; i < order.d; ++i) result = times(result, polynomial(one, 1, -1));
  for (std::uint32_t i = 0; i < order.seasonal_d; ++i) result = times(result, polynomial(one, order.season, -1));
  return result;
}

std::size_t count(const SarimaOrder& order) { return order.p + order.q + order.seasonal_p + order.seasonal_q; }

/// Any numbers to coefficients of a stationary (or, negated, invertible) process, by way of partial autocorrelations.
void make_stationary(std::span<const double> free, std::span<double> out) {
  std::vector<double> before;
  for (std::size_t k = 0; k < free.size(); ++k) {
    const double partial = free[k] / std::sqrt(1 + free[k] * free[k]);
    before.assign(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(k));
    for (std::size_t i = 0; i < k; ++i) out[i] = before[i] - partial * before[k - 1 - i];
    out[k] = partial;
  }
}

/// The coefficients of all four parts, from numbers without bounds.
std::vector<double> bounded(const SarimaOrder& order, std::span<const double> free) {
  std::vector<double> coefficients(count(order));
  std::size_t first = 0;
  const std::pair<std::uint32_t, double> parts[] = {
      {order.p, 1}, {order.q, -1}, {order.seasonal_p, 1}, {order.seasonal_q, -1}};
  for (const auto& [size, sign] : parts) {
    const auto part = std::span(coefficients).subspan(first, size);
    make_stationary(free.subspan(first, size), part);
    for (double& value : part) value *= sign;
    first += size;
  }
  return coefficients;
}

/// The process in Harvey's form: the state's first element is the value.
struct Process {
  VectorXd ar, ma;  ///< Of the state's length r; ma[0] is 1.

  Process(const SarimaOrder& order, std::span<const double> c) {
    const auto part = [&](std::size_t first, std::size_t size) { return c.subspan(first, size); };
    const auto full_ar = times(polynomial(part(0, order.p), 1, -1),
                               polynomial(part(order.p + order.q, order.seasonal_p), order.season, -1));
    const auto full_ma =
        times(polynomial(part(order.p, order.q), 1, 1),
              polynomial(part(order.p + order.q + order.seasonal_p, order.seasonal_q), order.season, 1));
    const auto r = std::max(full_ar.size() - 1, full_ma.size());
    ar = VectorXd::Zero(static_cast<Eigen::Index>(r));
    ma = VectorXd::Zero(static_cast<Eigen::Index>(r));
    for (std::size_t i = 1; i < full_ar.size(); ++i) ar[static_cast<Eigen::Index>(i - 1)] = -full_ar[i];
    for (std::size_t i = 0; i < full_ma.size(); ++i) ma[static_cast<Eigen::Index>(i)] = full_ma[i];
  }

  /// Of the state before anything was seen: the sum of all that earlier shocks left, by doubling.
  MatrixXd stationary() const {
    const auto r = ar.size();
    MatrixXd step = MatrixXd::Zero(r, r), sum = ma * ma.transpose(), half(r, r);
    step.col(0) = ar;
    step.topRightCorner(r - 1, r - 1) += MatrixXd::Identity(r - 1, r - 1);
    for (int i = 0; i < 40; ++i) {
      half.noalias() = step * sum;
      const MatrixXd more = half * step.transpose();
      sum += more;
      if (!(more.lpNorm<Eigen::Infinity>() > 1e-12 * sum.lpNorm<Eigen::Infinity>())) break;
      half.noalias() = step * step;
      step.swap(half);
    }
    return sum;
  }
};

/// A Kalman filter of unit variance.
class Filter {
 public:
  Filter(const Process& process, VectorXd state, MatrixXd covariance)
      : process_(process),
        state_(std::move(state)),
        covariance_(std::move(covariance)),
        shocks_(process.ma * process.ma.transpose()),
        gain_(process.ma.size()) {}

  /// Takes a value seen with this variance of its own; what it was off by and the variance of that.
  struct Innovation {
    double off, variance;
  };
  Innovation observe(double value, double noise) {
    const Innovation seen{value - state_[0], covariance_(0, 0) + noise};
    gain_ = covariance_.col(0);
    state_ += gain_ * (seen.off / seen.variance);
    if (noise == 0) {
      // The first element is now known: its row and column are 0, and the step ahead is a shift.
      const auto r = gain_.size();
      for (Eigen::Index j = 0; j + 1 < r; ++j) {
        const double share = gain_[j + 1] / seen.variance;
        covariance_.col(j).head(r - 1) =
            covariance_.col(j + 1).tail(r - 1) - share * gain_.tail(r - 1) + shocks_.col(j).head(r - 1);
        covariance_(r - 1, j) = shocks_(r - 1, j);
      }
      covariance_.col(r - 1) = shocks_.col(r - 1);
    } else {
      covariance_.noalias() -= gain_ * gain_.transpose() / seen.variance;
      ahead();
    }
    move();
    return seen;
  }
  /// A step of which nothing is known.
  void skip() { ahead(), move(); }

  const VectorXd& state() const { return state_; }
  const MatrixXd& covariance() const { return covariance_; }
  void move() {
    const double first = state_[0];
    const auto r = state_.size();
    for (Eigen::Index i = 0; i + 1 < r; ++i) state_[i] = process_.ar[i] * first + state_[i + 1];
    state_[r - 1] = process_.ar[r - 1] * first;
  }

 private:
  void ahead() {
    const auto r = gain_.size();
    MatrixXd step = MatrixXd::Zero(r, r);
    step.col(0) = process_.ar;
    step.topRightCorner(r - 1, r - 1) += MatrixXd::Identity(r - 1, r - 1);
    covariance_ = step * covariance_ * step.transpose() + shocks_;
  }

  const Process& process_;
  VectorXd state_;
  MatrixXd covariance_;
  MatrixXd shocks_;
  VectorXd gain_;
};

std::vector<double> differenced(std::span<const double> values, const Polynomial& difference) {
  std::vector<double> result;
  for (std::size_t t = difference.size() - 1; t < values.size(); ++t) {
    double sum = 0;
    for (std::size_t k = 0; k < difference.size(); ++k) sum += difference[k] * values[t - k];
    result.push_back(sum);
  }
  return result;
}

struct Series {
  std::vector<double> first;  ///< With a finite start: the first season, as it is.
  std::vector<double> rest;   ///< Differenced.
};

Series prepare(std::span<const double> values, const SarimaOptions& options) {
  const auto difference = differencing(options.order);
  Series series{{}, differenced(values, difference)};
  if (options.start_variance > 0)
    series.first.assign(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(difference.size() - 1));
  if (difference.size() == 1) {
    const double centre = mean(series.rest);
    for (double& value : series.rest) value -= centre;
  }
  return series;
}

struct Fitness {
  double log_likelihood;
  double variance;
};

/// Runs the filter through the series. `variance` 0: the best one, in closed form.
Fitness run(Filter& filter, const Series& series, double start_variance, double variance) {
  for (const double value : series.first) filter.observe(value, start_variance / variance);
  double squares = 0, logs = 0;
  for (const double value : series.rest) {
    const auto seen = filter.observe(value, 0);
    squares += seen.off * seen.off / seen.variance;
    logs += std::log(seen.variance);
  }
  const auto n = static_cast<double>(series.rest.size());
  if (variance == 0) variance = squares / n;
  return {-0.5 * (n * std::log(2 * std::numbers::pi * variance) + logs + squares / variance), variance};
}

Filter started(const Process& process) { return {process, VectorXd::Zero(process.ar.size()), process.stationary()}; }

}  // namespace

double Sarima::log_likelihood_of(std::span<const double> values, const SarimaOptions& options,
                                 std::span<const double> parameters) {
  const Process process(options.order, parameters.first(count(options.order)));
  auto filter = started(process);
  return run(filter, prepare(values, options), options.start_variance, parameters.back()).log_likelihood;
}

Result<Sarima> Sarima::fit(std::span<const double> values, const SarimaOptions& options) {
  const auto& order = options.order;
  const auto difference = differencing(order);
  const auto lags = difference.size() +
                    std::max(order.p + order.seasonal_p * order.season, order.q + order.seasonal_q * order.season);
  if (!std::ranges::all_of(values, [](double value) { return std::isfinite(value); }))
    return fail(ErrorKind::permanent, "a value is missing");
  if (order.season < 2 || lags > 2000)
    return fail(ErrorKind::permanent, "a season has at least 2 steps, and lags end at 2,000");
  if (values.size() < lags + 10)
    return fail(ErrorKind::permanent, fmt::format("{} values are too few for lags of {}", values.size(), lags));
  if (options.start_variance > 0 && (order.d != 0 || order.seasonal_d != 1))
    return fail(ErrorKind::permanent, "a start with a variance is known for d = 0 and D = 1 only");

  const Series series = prepare(values, options);
  const double spread = deviation(series.rest);
  if (!(spread > 0))
    return fail(ErrorKind::permanent, "the series repeats itself exactly: seasonal naive forecasts it");
  const bool finite = options.start_variance > 0;
  const auto variance_in = [&](const std::vector<double>& x) {
    return finite ? spread * spread * std::exp(x.back()) : 0.0;
  };
  const auto loss = [&](const std::vector<double>& x) {
    const Process process(order, bounded(order, std::span(x).first(count(order))));
    auto filter = started(process);
    return -run(filter, series, options.start_variance, variance_in(x)).log_likelihood /
           static_cast<double>(series.rest.size());
  };
  const auto best = minimise(loss, std::vector<double>(count(order) + (finite ? 1 : 0), 0.1), 60, 1e-8);

  Sarima model;
  model.order_ = order;
  model.parameters_ = bounded(order, std::span(best.at).first(count(order)));
  const Process process(order, model.parameters_);
  auto filter = started(process);
  const auto fitness = run(filter, series, options.start_variance, variance_in(best.at));
  model.parameters_.push_back(fitness.variance);
  model.log_likelihood_ = fitness.log_likelihood;
  model.state_.assign(filter.state().begin(), filter.state().end());
  model.covariance_.assign(filter.covariance().data(), filter.covariance().data() + filter.covariance().size());
  model.recent_.assign(values.end() - static_cast<std::ptrdiff_t>(difference.size() - 1), values.end());
  if (difference.size() == 1) model.centre_ = mean(values);
  return model;
}

void Sarima::observe(double value) {
  const Process process(order_, std::span(parameters_).first(count(order_)));
  const auto r = process.ar.size();
  Filter filter(process, Eigen::Map<VectorXd>(state_.data(), r), Eigen::Map<MatrixXd>(covariance_.data(), r, r));
  if (std::isfinite(value)) {
    recent_.push_back(value);
    filter.observe(differenced(recent_, differencing(order_)).back() - centre_, 0);
  } else {
    recent_.push_back(forecast(1).mean[0]);
    filter.skip();
  }
  recent_.erase(recent_.begin());
  state_.assign(filter.state().begin(), filter.state().end());
  covariance_.assign(filter.covariance().data(), filter.covariance().data() + filter.covariance().size());
}

Path Sarima::forecast(std::uint32_t steps) const {
  const Process process(order_, std::span(parameters_).first(count(order_)));
  const auto difference = differencing(order_);
  const auto lag = difference.size() - 1;
  Filter filter(process, Eigen::Map<const VectorXd>(state_.data(), process.ar.size()),
                MatrixXd::Zero(process.ar.size(), process.ar.size()));
  std::vector<double> values = recent_;
  Polynomial ar{1};
  for (const double value : process.ar) ar.push_back(-value);
  ar = times(ar, difference);
  std::vector<double> weights;  // Of the shocks, the newest first.
  Path path;
  double squares = 0;
  for (std::uint32_t h = 0; h < steps; ++h) {
    double value = filter.state()[0] + centre_;
    for (std::size_t k = 1; k <= lag; ++k) value -= difference[k] * values[values.size() - k];
    values.push_back(value);
    filter.move();
    double weight = h < process.ma.size() ? process.ma[h] : 0;
    for (std::size_t k = 1; k < ar.size() && k <= h; ++k) weight -= ar[k] * weights[h - k];
    weights.push_back(weight);
    squares += weight * weight;
    path.mean.push_back(value);
    path.deviation.push_back(std::sqrt(squares * parameters_.back()));
  }
  return path;
}

void Sarima::write(ByteWriter& out) const {
  for (const auto number :
       {order_.p, order_.d, order_.q, order_.seasonal_p, order_.seasonal_d, order_.seasonal_q, order_.season})
    out.varint(number);
  write_reals(out, parameters_);
  out.real(log_likelihood_);
  out.real(centre_);
  write_reals(out, state_);
  write_reals(out, covariance_);
  write_reals(out, recent_);
}

Sarima Sarima::read(ByteReader& in) {
  Sarima model;
  const auto number = [&](std::uint64_t most) {
    const auto value = in.varint();
    if (value > most) throw BadBytes("an impossible order");
    return static_cast<std::uint32_t>(value);
  };
  auto& order = model.order_;
  order = {.p = number(100),
           .d = number(3),
           .q = number(100),
           .seasonal_p = number(8),
           .seasonal_d = number(2),
           .seasonal_q = number(8),
           .season = number(400)};
  if (order.season < 2) throw BadBytes("an impossible order");
  model.parameters_ = read_reals(in);
  if (model.parameters_.size() != count(order) + 1 || !(model.parameters_.back() > 0))
    throw BadBytes("parameters do not fit the order");
  model.log_likelihood_ = read_finite(in);
  model.centre_ = read_finite(in);
  model.state_ = read_reals(in);
  model.covariance_ = read_reals(in);
  model.recent_ = read_reals(in);
  const auto r = static_cast<std::size_t>(Process(order, std::span(model.parameters_).first(count(order))).ar.size());
  if (model.state_.size() != r || model.covariance_.size() != r * r) throw BadBytes("the state does not fit the order");
  if (model.recent_.size() != differencing(order).size() - 1) throw BadBytes("the last values do not fit the order");
  return model;
}

}  // namespace wattd::ml
