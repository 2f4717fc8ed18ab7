#include "ml-lite/load/lag_ridge.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "ml-lite/model_file.h"

namespace wattd::ml::load {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double kHalfLife = 240 * 24;  ///< Hours after which a row weighs half.
constexpr double kRidge = 3;
constexpr Index kLags = static_cast<Index>(kLongestLag) + 1;
constexpr Index kMeans = 4;
constexpr Index kCalendar = 7 + static_cast<Index>(kSlots);
constexpr std::size_t kTail = 505;            ///< How long before the end a sum of two lags may end, and one more.
constexpr std::size_t kMeanTail = kWeek + 1;  ///< The same for sums with a mean.

/// The lags of a forecast `h` hours ahead: around the origin, and around the same hour of days and weeks before.
const std::vector<std::size_t>& lags_of(std::size_t h) {
  static const auto all = [] {
    std::vector<std::vector<std::size_t>> lags(kWeek + 1);
    for (std::size_t ahead = 1; ahead <= kWeek; ++ahead) {
      const auto add = [&](std::size_t lag) {
        if (lag >= ahead && std::ranges::count(lags[ahead], lag) == 0) lags[ahead].push_back(lag);
      };
      if (ahead == 1) {
        for (const auto lag : {1,  2,  3,  4,   5,   6,   7,   8,   12,  22,  23,  24,  25,  26,  47,  48,  49,  71,
                               72, 73, 96, 120, 144, 145, 167, 168, 169, 191, 192, 193, 335, 336, 337, 504, 505, 672})
          add(static_cast<std::size_t>(lag));
        continue;
      }
      for (const auto back : {0, 1, 2, 3, 22, 23, 24, 47, 48, 71, 95, 119, 143, 166, 167, 168, 335})
        add(ahead + static_cast<std::size_t>(back));
      for (auto day = (ahead + 23) / 24; day < 8; ++day) add(24 * day);
      for (const auto lag : {167, 169, 336, 504, 672}) add(static_cast<std::size_t>(lag));
    }
    return lags;
  }();
  return all[h];
}

}  // namespace

/// Sums over all hours s up to the end, of 2^((s - end) / half life) × a product.
struct LagSums::Sums {
  explicit Sums(const State& of) : state(of) {}

  /// z[s] z[s - k], as they stood at an hour `back` before the end.
  double pair(std::size_t k, std::size_t back) const { return pairs(static_cast<Index>(k), ring(back)); }
  /// mean[s] z[s - k].
  double mean_pair(Index window, std::size_t k, std::size_t back) const {
    return mean_pairs[static_cast<std::size_t>(window)](static_cast<Index>(k), ring(back, kMeanTail));
  }
  Index ring(std::size_t back, std::size_t size = kTail) const {
    return static_cast<Index>((end + 2 * size - back) % size);
  }

  void step() {
    const auto t = ++end;  // From one before 0 on.
    const double keep = std::exp2(-1 / kHalfLife);
    past.resize(kLags);
    for (Index k = 0; k < kLags; ++k)
      past[k] = t >= static_cast<std::size_t>(k) ? state.z(t - static_cast<std::size_t>(k)) : 0;
    const auto here = ring(0), before = ring(1), mean_here = ring(0, kMeanTail), mean_before = ring(1, kMeanTail);
    pairs.col(here) = keep * pairs.col(before) + past[0] * past;
    VectorXd means(kMeans);
    for (Index w = 0; w < kMeans; ++w) {
      means[w] = state.mean(static_cast<State::Window>(w), t);
      auto& of_mean = mean_pairs[static_cast<std::size_t>(w)];
      of_mean.col(mean_here) = keep * of_mean.col(mean_before) + means[w] * past;
    }
    two_means[static_cast<std::size_t>(mean_here)] =
        keep * two_means[static_cast<std::size_t>(mean_before)] + means * means.transpose();
    // By hour of the week: the weights grow instead of the sums fading, which would touch all of them each hour.
    const double weight = std::exp2(static_cast<double>(t) / kHalfLife);
    const auto slot = state.slot(t);
    const auto place = static_cast<std::size_t>(slot.day_type * kWeek + slot.of_week());
    counts[place] += weight;
    by_place[place] += weight * past;
    for (Index w = 0; w < kMeans; ++w) {
      const auto means_before = state.means(static_cast<State::Window>(w));
      for (std::size_t h = 1; h <= std::min(kWeek, t); ++h) {
        const double mean = means_before[t - h];
        by_place_means[place](static_cast<Index>(h), w) += weight * mean;
        target_means(static_cast<Index>(h), w) += weight * past[0] * mean;
      }
    }
  }

  const State& state;
  std::size_t end = static_cast<std::size_t>(-1);
  VectorXd past;
  MatrixXd pairs = MatrixXd::Zero(kLags, kTail);
  std::vector<MatrixXd> mean_pairs = std::vector<MatrixXd>(kMeans, MatrixXd::Zero(kLags, kMeanTail));
  std::vector<MatrixXd> two_means = std::vector<MatrixXd>(kMeanTail, MatrixXd::Zero(kMeans, kMeans));
  /// Day type × hour of the week.
  std::vector<double> counts = std::vector<double>(3 * kWeek);
  std::vector<VectorXd> by_place = std::vector<VectorXd>(3 * kWeek, VectorXd::Zero(kLags));
  std::vector<MatrixXd> by_place_means = std::vector<MatrixXd>(3 * kWeek, MatrixXd::Zero(kWeek + 1, kMeans));
  MatrixXd target_means = MatrixXd::Zero(kWeek + 1, kMeans);
};

LagSums::LagSums(const State& state) : sums_(std::make_unique<Sums>(state)) {}
LagSums::~LagSums() = default;
void LagSums::advance(std::size_t t) {
  while (sums_->end == static_cast<std::size_t>(-1) || sums_->end < t) sums_->step();
}

LagRidge::LagRidge(const LagSums& from) {
  const auto& sums = *from.sums_;
  const double fade = std::exp2(-static_cast<double>(sums.end) / kHalfLife);
  MatrixXd gram;
  VectorXd products;
  for (std::size_t h = 1; h <= kWeek; ++h) {
    const auto& lags = lags_of(h);
    const auto count = static_cast<Index>(lags.size()), first_day = count + kMeans, width = first_day + kCalendar;
    gram.setZero(width, width);
    products.setZero(width);
    for (Index i = 0; i < count; ++i) {
      const auto lag = lags[static_cast<std::size_t>(i)];
      products[i] = sums.pair(lag, 0);
      for (Index j = 0; j <= i; ++j) {
        const auto other = lags[static_cast<std::size_t>(j)];
        gram(std::max(i, j), std::min(i, j)) =
            sums.pair(std::max(lag, other) - std::min(lag, other), std::min(lag, other));
      }
      // No lag is shorter than h, which is where the means end.
      for (Index w = 0; w < kMeans; ++w) gram(count + w, i) = sums.mean_pair(w, lag - h, h);
    }
    const auto& two_means = sums.two_means[static_cast<std::size_t>(sums.ring(h, kMeanTail))];
    for (Index w = 0; w < kMeans; ++w) {
      products[count + w] = fade * sums.target_means(static_cast<Index>(h), w);
      for (Index v = 0; v <= w; ++v) gram(count + w, count + v) = two_means(w, v);
    }
    for (std::size_t place = 0; place < sums.counts.size(); ++place) {
      if (sums.counts[place] == 0) continue;
      const auto type = static_cast<Index>(place / kWeek), weekday = static_cast<Index>(place % kWeek / 24),
                 hour = static_cast<Index>(place % 24);
      const Index rows[] = {first_day + weekday, first_day + 7 + hour + 24 * type};
      for (const Index row : rows) {
        products[row] += fade * sums.by_place[place][0];
        for (Index i = 0; i < count; ++i)
          gram(row, i) += fade * sums.by_place[place][static_cast<Index>(lags[static_cast<std::size_t>(i)])];
        for (Index w = 0; w < kMeans; ++w)
          gram(row, count + w) += fade * sums.by_place_means[place](static_cast<Index>(h), w);
        gram(row, row) += fade * sums.counts[place];
      }
      gram(rows[1], rows[0]) += fade * sums.counts[place];
    }
    gram.diagonal().array() += kRidge;
    const VectorXd weights = gram.selfadjointView<Eigen::Lower>().ldlt().solve(products);
    weights_.emplace_back(weights.begin(), weights.end());
  }
}

double LagRidge::forecast(const State& state, std::size_t s, std::size_t h) const {
  const auto& weights = weights_[h - 1];
  const auto& lags = lags_of(h);
  double sum = 0;
  for (std::size_t i = 0; i < lags.size(); ++i)
    sum += s >= lags[i] ? static_cast<double>(weights[i]) * state.z(s - lags[i]) : 0;
  for (std::size_t w = 0; w < kMeans; ++w)
    sum += static_cast<double>(weights[lags.size() + w]) * state.mean(static_cast<State::Window>(w), s - h);
  const auto slot = state.slot(s);
  const auto first_day = lags.size() + kMeans;
  return sum + static_cast<double>(weights[first_day + slot.weekday]) +
         static_cast<double>(weights[first_day + 7 + slot.index()]);
}

void LagRidge::write(ByteWriter& out) const {
  for (const auto& weights : weights_) write_floats(out, weights);
}

LagRidge LagRidge::read(ByteReader& in) {
  LagRidge ridge;
  for (std::size_t h = 1; h <= kWeek; ++h) {
    ridge.weights_.push_back(read_floats(in));
    if (ridge.weights_.back().size() != lags_of(h).size() + kMeans + kCalendar)
      throw BadBytes("weights do not match the lags");
  }
  return ridge;
}

}  // namespace wattd::ml::load
