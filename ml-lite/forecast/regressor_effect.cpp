#include "ml-lite/forecast/regressor_effect.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>

#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"

namespace wattd::ml {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr std::size_t kMostChanges = 20'000;  ///< The latest: a year of hours, over a day and over a week.
constexpr std::size_t kRowsATerm = 20;
constexpr int kRounds = 8;
constexpr double kRidge = 1;
constexpr double kLeastShare = 0.05;  ///< Of the changes: below it the effect is as likely a chance.

/// From which value to which, over a day and over a week, where all is known; in the order of time.
std::vector<std::pair<std::size_t, std::size_t>> latest_changes(std::span<const double> values, const Table& regressors,
                                                                std::size_t day) {
  const auto known = [&](std::size_t row) {
    return std::isfinite(values[row]) &&
           std::ranges::all_of(regressors.row(row), [](double value) { return std::isfinite(value); });
  };
  std::vector<std::pair<std::size_t, std::size_t>> changes;
  for (auto row = day; row < values.size(); ++row) {
    for (const auto back : {day, 7 * day}) {
      if (row >= back && known(row) && known(row - back)) changes.emplace_back(row, row - back);
    }
  }
  if (changes.size() > kMostChanges) changes.erase(changes.begin(), changes.end() - kMostChanges);
  return changes;
}

/// By reweighted least squares: a day of standstill shall not bend the line.
VectorXd least_deviations(const MatrixXd& moved, const VectorXd& by) {
  VectorXd row_weights = VectorXd::Ones(by.size()), weights = VectorXd::Zero(moved.rows());
  for (int round = 0; round < kRounds; ++round) {
    const MatrixXd weighted = moved * row_weights.asDiagonal();
    const MatrixXd gram = weighted * moved.transpose() + kRidge * MatrixXd::Identity(moved.rows(), moved.rows());
    weights = gram.ldlt().solve(weighted * by);
    const VectorXd off = (by - moved.transpose() * weights).cwiseAbs();
    row_weights = off.cwiseMax(0.1 * off.mean() + 1e-12).cwiseInverse();
    row_weights /= std::max(1e-300, row_weights.mean());
  }
  return weights;
}

}  // namespace

void RegressorEffect::fill(std::span<const double> regressors, double* terms) const {
  for (std::size_t i = 0; i < centres_.size(); ++i) {
    const double known = i < regressors.size() && std::isfinite(regressors[i]) ? regressors[i] : centres_[i];
    // A station that sends nonsense moves nothing farther than six deviations do.
    const double z = std::clamp((known - centres_[i]) / scales_[i], -6.0, 6.0);
    *terms++ = z;
    for (std::size_t bend = 0; bend < kBends; ++bend) *terms++ = std::max(0.0, z - bends_[i * kBends + bend]);
  }
}

void RegressorEffect::learn_scales(std::size_t count, const Table& regressors) {
  for (std::size_t column = 0; column < regressors.columns(); ++column) {
    std::vector<double> known;
    for (std::size_t row = 0; row < count; ++row) {
      if (std::isfinite(regressors.at(row, column))) known.push_back(regressors.at(row, column));
    }
    if (known.empty()) known.push_back(0);
    centres_.push_back(mean(known));
    scales_.push_back(std::max(ml::deviation(known), 1e-9));
    for (const double share : {0.25, 0.5, 0.75})
      bends_.push_back((quantile(known, share) - centres_.back()) / scales_.back());
  }
}

std::optional<RegressorEffect> RegressorEffect::fit(std::span<const double> values, const Table& regressors,
                                                    std::size_t day) {
  const auto count = regressors.columns(), width = count * kTerms;
  if (count == 0 || count > kMost || regressors.rows() < values.size()) return std::nullopt;
  RegressorEffect effect;
  effect.learn_scales(values.size(), regressors);
  MatrixXd terms(static_cast<Index>(width), static_cast<Index>(values.size()));
  for (std::size_t row = 0; row < values.size(); ++row)
    effect.fill(regressors.row(row), terms.col(static_cast<Index>(row)).data());
  const auto changes = latest_changes(values, regressors, day);
  if (changes.size() < kRowsATerm * width) return std::nullopt;
  MatrixXd moved(static_cast<Index>(width), static_cast<Index>(changes.size()));
  VectorXd by(static_cast<Index>(changes.size()));
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const auto [now, then] = changes[i];
    moved.col(static_cast<Index>(i)) = terms.col(static_cast<Index>(now)) - terms.col(static_cast<Index>(then));
    by[static_cast<Index>(i)] = values[now] - values[then];
  }
  // What the first of them teach has to hold for the last.
  const auto first = by.size() / 4 * 3, last = by.size() - first;
  const VectorXd before = least_deviations(moved.leftCols(first), by.head(first));
  const double left = (by.tail(last) - moved.rightCols(last).transpose() * before).cwiseAbs().mean();
  if (!before.allFinite() || !(left <= (1 - kLeastShare) * by.tail(last).cwiseAbs().mean())) return std::nullopt;
  const VectorXd weights = least_deviations(moved, by);
  if (!weights.allFinite()) return std::nullopt;
  effect.weights_.assign(weights.begin(), weights.end());
  const VectorXd effects = terms.transpose() * weights;
  effect.offset_ = effects.mean();
  effect.deviation_ = ml::deviation({effects.data(), static_cast<std::size_t>(effects.size())});
  return effect;
}

double RegressorEffect::of(std::span<const double> regressors) const {
  if (regressors.size() != centres_.size() ||
      !std::ranges::all_of(regressors, [](double value) { return std::isfinite(value); }))
    return std::numeric_limits<double>::quiet_NaN();
  std::vector<double> terms(weights_.size());
  fill(regressors, terms.data());
  double sum = -offset_;
  for (std::size_t i = 0; i < terms.size(); ++i) sum += weights_[i] * terms[i];
  return sum;
}

void RegressorEffect::write(ByteWriter& out) const {
  for (const auto* values : {&centres_, &scales_, &bends_, &weights_}) write_reals(out, *values);
  out.real(offset_), out.real(deviation_);
}

RegressorEffect RegressorEffect::read(ByteReader& in) {
  RegressorEffect effect;
  for (auto* values : {&effect.centres_, &effect.scales_, &effect.bends_, &effect.weights_}) *values = read_reals(in);
  effect.offset_ = read_finite(in), effect.deviation_ = read_finite(in);
  const auto count = effect.centres_.size();
  if (effect.deviation_ < 0 || count == 0 || count > kMost || effect.scales_.size() != count ||
      effect.bends_.size() != count * kBends || effect.weights_.size() != count * kTerms ||
      std::ranges::any_of(effect.scales_, [](double scale) { return !(scale > 0); }))
    throw BadBytes("regressors do not match");
  return effect;
}

}  // namespace wattd::ml
