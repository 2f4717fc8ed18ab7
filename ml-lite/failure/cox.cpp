#include "ml-lite/failure/cox.h"

#include <fmt/format.h>

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"
#include "ml-lite/training_rows.h"

namespace wattd::ml {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

/// The histories, latest first, with standardised columns: what is at risk only grows on the way.
struct Histories {
  MatrixXd rows;  ///< Column by column a history.
  std::vector<double> time;
  std::vector<bool> event;
};

struct Likelihood {
  double value = 0;
  VectorXd slope;
  MatrixXd curvature;
};

/// Events at one time, and what was at risk then.
struct Moment {
  double events = 0;
  double weight = 0;  ///< Sum of exp(risk) over the events.
  VectorXd weighted;  ///< Sum of exp(risk) × row over them.
  MatrixXd squared;
};

Likelihood likelihood_at(const Histories& h, const VectorXd& beta, Ties ties) {
  const auto columns = h.rows.rows();
  Likelihood result{0, VectorXd::Zero(columns), MatrixXd::Zero(columns, columns)};
  double at_risk = 0;
  VectorXd weighted = VectorXd::Zero(columns);
  MatrixXd squared = MatrixXd::Zero(columns, columns);
  const VectorXd risks = h.rows.transpose() * beta;
  for (std::size_t from = 0, to = 0; from < h.time.size(); from = to) {
    Moment moment{0, 0, VectorXd::Zero(columns), MatrixXd::Zero(columns, columns)};
    for (to = from; to < h.time.size() && h.time[to] == h.time[from]; ++to) {
      const auto row = h.rows.col(static_cast<Eigen::Index>(to));
      const double risk = risks[static_cast<Eigen::Index>(to)], weight = std::exp(risk);
      at_risk += weight;
      weighted.noalias() += weight * row;
      squared.noalias() += weight * (row * row.transpose());
      if (!h.event[to]) continue;
      moment.events += 1, moment.weight += weight;
      moment.weighted.noalias() += weight * row;
      moment.squared.noalias() += weight * (row * row.transpose());
      result.value += risk;
      result.slope += row;
    }
    // Efron lets the k-th of d events see the others' weight only in part.
    for (double k = 0; k < moment.events; ++k) {
      const double share = ties == Ties::efron ? k / moment.events : 0;
      const double weight = at_risk - share * moment.weight;
      const VectorXd centre = (weighted - share * moment.weighted) / weight;
      result.value -= std::log(weight);
      result.slope -= centre;
      result.curvature += (squared - share * moment.squared) / weight - centre * centre.transpose();
    }
  }
  return result;
}

/// The cumulative hazard of the average row at each time of an event.
void baseline(const Histories& h, const VectorXd& beta, std::vector<double>& times, std::vector<double>& hazards) {
  const VectorXd risks = h.rows.transpose() * beta;
  double at_risk = 0;
  for (std::size_t from = 0, to = 0; from < h.time.size(); from = to) {
    double events = 0;
    for (to = from; to < h.time.size() && h.time[to] == h.time[from]; ++to) {
      at_risk += std::exp(risks[static_cast<Eigen::Index>(to)]);
      events += h.event[to];
    }
    if (events > 0) times.push_back(h.time[from]), hazards.push_back(events / at_risk);
  }
  std::ranges::reverse(times);
  std::ranges::reverse(hazards);
  std::partial_sum(hazards.begin(), hazards.end(), hazards.begin());
}

struct Top {
  VectorXd beta;
  Likelihood here;
};

/// Where the penalised likelihood is highest, by Newton's steps, halved where they overshoot.
Result<Top> climb(const Histories& h, const CoxOptions& options) {
  VectorXd beta = VectorXd::Zero(h.rows.rows());
  const auto penalised = [&](const VectorXd& at) {
    auto found = likelihood_at(h, at, options.ties);
    found.value -= options.ridge / 2 * at.squaredNorm();
    found.slope -= options.ridge * at;
    found.curvature.diagonal().array() += options.ridge;
    return found;
  };
  Likelihood here = penalised(beta);
  constexpr int kMostSteps = 50;
  for (int step = 0; step < kMostSteps; ++step) {
    const Eigen::LDLT<MatrixXd> solver(here.curvature);
    const auto pivots = solver.vectorD();
    if (pivots.minCoeff() <= 1e-9 * pivots.maxCoeff())
      return fail(
          ErrorKind::permanent,
          "columns depend on each other, or one of them tells all failures apart: leave one out or set a ridge");
    VectorXd move = solver.solve(here.slope);
    Likelihood next = penalised(beta + move);
    for (int half = 0; half < 20 && !(next.value >= here.value - 1e-12 * std::abs(here.value)); ++half)
      next = penalised(beta + (move /= 2));
    beta += move;
    here = std::move(next);
    if (move.lpNorm<Eigen::Infinity>() < 1e-10) break;
  }
  return Top{std::move(beta), std::move(here)};
}

std::optional<Error> check(const Table& rows, std::span<const double> time, std::span<const double> event) {
  if (auto refused = check_training(rows, time)) return refused;
  const auto refuse = [](std::string message) { return Error{ErrorKind::permanent, std::move(message)}; };
  if (event.size() != rows.rows()) return refuse(fmt::format("{} events for {} rows", event.size(), rows.rows()));
  if (std::ranges::any_of(time, [](double value) { return value < 0; })) return refuse("a time is negative");
  if (!std::ranges::all_of(event, [](double value) { return value == 0 || value == 1; }))
    return refuse("an event is neither 0 nor 1");
  if (std::ranges::count(event, 1.0) == 0) return refuse("nothing has failed yet: there is nothing to learn from");
  if (!std::ranges::all_of(rows.values(), [](double value) { return std::isfinite(value); }))
    return refuse("a value is missing");
  return std::nullopt;
}

}  // namespace

Result<Cox> Cox::fit(const Table& rows, std::span<const double> time, std::span<const double> event,
                     const CoxOptions& options) {
  if (auto refused = check(rows, time, event)) return std::unexpected(*refused);
  const auto columns = static_cast<Eigen::Index>(rows.columns());
  Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> values(
      rows.values().data(), static_cast<Eigen::Index>(rows.rows()), columns);
  const VectorXd means = values.colwise().mean().transpose();
  const VectorXd scales =
      ((values.rowwise() - means.transpose()).colwise().squaredNorm() / static_cast<double>(rows.rows()))
          .cwiseSqrt()
          .transpose();
  for (Eigen::Index column = 0; column < columns; ++column) {
    if (scales[column] <= 1e-12 * std::max(1.0, std::abs(means[column])))
      return fail(ErrorKind::permanent, fmt::format("column {} never changes", column + 1));
  }
  std::vector<std::size_t> order(rows.rows());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](auto a, auto b) { return time[a] > time[b]; });
  Histories h{MatrixXd(columns, values.rows()), {}, {}};
  for (std::size_t i = 0; i < order.size(); ++i) {
    h.rows.col(static_cast<Eigen::Index>(i)) =
        (values.row(static_cast<Eigen::Index>(order[i])).transpose() - means).cwiseQuotient(scales);
    h.time.push_back(time[order[i]]), h.event.push_back(event[order[i]] > 0);
  }

  auto top = climb(h, options);
  if (!top) return std::unexpected(top.error());
  const auto& [beta, here] = *top;

  Cox model;
  const VectorXd coefficients = beta.cwiseQuotient(scales);
  const VectorXd errors =
      here.curvature.ldlt().solve(MatrixXd::Identity(columns, columns)).diagonal().cwiseSqrt().cwiseQuotient(scales);
  model.coefficients_.assign(coefficients.begin(), coefficients.end());
  model.standard_errors_.assign(errors.begin(), errors.end());
  model.means_.assign(means.begin(), means.end());
  model.log_likelihood_ = here.value + options.ridge / 2 * beta.squaredNorm();
  baseline(h, beta, model.times_, model.hazards_);
  return model;
}

std::vector<double> Cox::explain(std::span<const double> row) const {
  std::vector<double> shares(coefficients_.size());
  for (std::size_t i = 0; i < shares.size(); ++i) shares[i] = coefficients_[i] * (row[i] - means_[i]);
  return shares;
}

double Cox::risk(std::span<const double> row) const {
  const auto shares = explain(row);
  // Beyond this its exponential is no number any more.
  return std::clamp(std::accumulate(shares.begin(), shares.end(), 0.0), -500.0, 500.0);
}

double Cox::survival(std::span<const double> row, double time) const {
  const auto after = std::ranges::upper_bound(times_, time) - times_.begin();
  return after == 0 ? 1 : std::exp(-hazards_[static_cast<std::size_t>(after) - 1] * std::exp(risk(row)));
}

double Cox::time_until(std::span<const double> row, double share) const {
  const double hazard = -std::log(share) / std::exp(risk(row));
  const auto at = std::ranges::lower_bound(hazards_, hazard) - hazards_.begin();
  return static_cast<std::size_t>(at) == times_.size() ? std::numeric_limits<double>::infinity()
                                                       : times_[static_cast<std::size_t>(at)];
}

void Cox::write(ByteWriter& out) const {
  write_reals(out, coefficients_);
  write_reals(out, means_);
  write_reals(out, times_);
  write_reals(out, hazards_);
  out.real(log_likelihood_);
}

Cox Cox::read(ByteReader& in) {
  Cox model;
  model.coefficients_ = read_reals(in);
  model.means_ = read_reals(in);
  model.times_ = read_reals(in);
  model.hazards_ = read_reals(in);
  model.log_likelihood_ = read_finite(in);
  if (model.coefficients_.empty() || model.means_.size() != model.coefficients_.size())
    throw BadBytes("columns do not match");
  if (model.times_.empty() || model.hazards_.size() != model.times_.size())
    throw BadBytes("a hazard for each time is missing");
  if (!std::ranges::is_sorted(model.times_) || !std::ranges::is_sorted(model.hazards_) || model.hazards_.front() < 0)
    throw BadBytes("hazards do not grow with time");
  return model;
}

}  // namespace wattd::ml
