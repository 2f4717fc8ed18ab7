#include "ml-lite/load/expert_line.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "ml-lite/load/neighbours.h"
#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"

namespace wattd::ml::load {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr std::size_t kMostTargets = 9000;
constexpr double kRidge = 20;
constexpr int kRounds = 4;
constexpr std::size_t kEnds[] = {1, 3, 7, 14, 24, 48, 96, 168};  ///< Of the stretches.

}  // namespace

std::vector<std::pair<std::size_t, std::size_t>> spread(std::size_t end, std::size_t from, std::size_t to,
                                                        std::size_t passes) {
  constexpr double kGolden = 0.6180339;
  const std::size_t first = std::max(kWarm, end + 1 > kMostTargets ? end + 1 - kMostTargets : 0);
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
  for (std::size_t pass = 0; pass < passes; ++pass) {
    for (std::size_t s = first; s <= end; ++s) {
      const double share =
          static_cast<double>(s - first) * kGolden + static_cast<double>(pass) / static_cast<double>(passes);
      const auto ahead =
          from + static_cast<std::size_t>((share - std::floor(share)) * static_cast<double>(to - from + 1));
      pairs.emplace_back(s, std::min(ahead, to));
    }
  }
  return pairs;
}

std::size_t ExpertLine::stretch_of(std::size_t h) {
  return static_cast<std::size_t>(std::ranges::lower_bound(kEnds, h) - std::begin(kEnds));
}

void ExpertLine::ask(const State& state, std::size_t s, std::size_t h, double* e, double& level) {
  const Neighbours near(state, s, h);
  const auto o = near.origin;
  const double l = level = near.level;
  const auto target = static_cast<std::ptrdiff_t>(s), origin = static_cast<std::ptrdiff_t>(o);
  const auto week_before = target - static_cast<std::ptrdiff_t>(kWeek * near.weeks);
  const auto day_before = target - static_cast<std::ptrdiff_t>(24 * near.days);
  double off[6], off_mean = 0;
  for (std::size_t k = 0; k < 6; ++k) {
    const auto at = o >= k ? o - k : 0;
    off[k] = state.z(at) - state.usual(o, state.slot(at).index());
    off_mean += off[k] / 6;
  }
  const bool same_type =
      day_before >= 0 && state.slot(static_cast<std::size_t>(day_before)).day_type == near.slot.day_type;
  const double experts[kExperts] = {near.usual - l,
                                    near.usual_of_hour - l,
                                    near.week_mean - l,
                                    near.week_median - l,
                                    near.same_week_hour[0] - l,
                                    near.same_week_hour[1] - l,
                                    (same_type ? near.same_hour[0] : near.usual) - l,
                                    near.day_mean - l,
                                    near.day_median - l,
                                    z_at(state, week_before - 1) - l,
                                    z_at(state, std::min(week_before + 1, origin)) - l,
                                    off[0],
                                    off[1],
                                    off[2],
                                    off_mean,
                                    state.surprise(o),
                                    l - state.mean(State::month, o),
                                    1,
                                    z_at(state, day_before - 1) - l};
  std::ranges::copy(experts, e);
}

ExpertLine::ExpertLine(const State& state, std::size_t end) {
  for (std::size_t stretch = 0, from = 1; stretch < kStretches; from = kEnds[stretch++] + 1) {
    const auto pairs = spread(end, from, kEnds[stretch], 2);
    const auto rows = static_cast<Index>(pairs.size());
    MatrixXd experts(static_cast<Index>(kExperts), rows);
    VectorXd target(rows);
    for (Index i = 0; i < rows; ++i) {
      const auto [s, h] = pairs[static_cast<std::size_t>(i)];
      double level = 0;
      ask(state, s, h, experts.col(i).data(), level);
      target[i] = state.z(s) - level;
    }
    // Drawn towards an even say of four good ones.
    VectorXd prior = VectorXd::Zero(kExperts), row_weights = VectorXd::Ones(rows), weights = prior;
    for (const int good : {0, 2, 3, 7}) prior[good] = 0.25;
    for (int round = 0; round < kRounds; ++round) {
      const MatrixXd weighted = experts * row_weights.asDiagonal();
      const MatrixXd gram = weighted * experts.transpose() + kRidge * MatrixXd::Identity(kExperts, kExperts);
      weights = prior + gram.ldlt().solve(weighted * (target - experts.transpose() * prior));
      const VectorXd off = (target - experts.transpose() * weights).cwiseAbs();
      const double least = 0.1 * median({off.begin(), off.end()}) + 1e-9;
      row_weights = off.cwiseMax(least).cwiseInverse();
      row_weights /= std::max(1e-300, row_weights.mean());
    }
    std::ranges::copy(weights, weights_[stretch].begin());
  }
}

double ExpertLine::forecast(const State& state, std::size_t s, std::size_t h) const {
  double experts[kExperts], level = 0;
  ask(state, s, h, experts, level);
  for (std::size_t i = 0; i < kExperts; ++i) level += weights_[stretch_of(h)][i] * experts[i];
  return level;
}

void ExpertLine::write(ByteWriter& out) const {
  for (const auto& weights : weights_) write_reals(out, weights);
}

ExpertLine ExpertLine::read(ByteReader& in) {
  ExpertLine line;
  for (auto& weights : line.weights_) {
    const auto values = read_reals(in);
    if (values.size() != kExperts) throw BadBytes("weights do not match the experts");
    std::ranges::copy(values, weights.begin());
  }
  return line;
}

}  // namespace wattd::ml::load
