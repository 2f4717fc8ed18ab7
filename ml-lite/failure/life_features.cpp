#include "ml-lite/failure/life_features.h"

#include <fmt/format.h>

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "ml-lite/model_file.h"
#include "ml-lite/training_rows.h"

namespace wattd::ml {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr std::size_t kFirstRows = 20;  ///< What a unit was like when it was new.

/// Means and slopes of what was seen up to a row, over any window: from running sums.
class Trail {
 public:
  void add(double value) {
    const auto t = static_cast<double>(sums_.size() - 1);
    sums_.push_back(sums_.back() + value);
    weighted_.push_back(weighted_.back() + t * value);
  }
  struct Line {
    double mean, slope;
  };
  Line last(std::size_t window) const { return between(seen() - std::min(window, seen()), seen()); }
  double mean_of_first(std::size_t rows) const { return between(0, std::min(rows, seen())).mean; }

 private:
  std::size_t seen() const { return sums_.size() - 1; }
  Line between(std::size_t from, std::size_t to) const {
    const auto n = static_cast<double>(to - from);
    const double mean = (sums_[to] - sums_[from]) / n;
    const double middle = static_cast<double>(from + to - 1) / 2, spread = n * (n * n - 1) / 12;
    return {mean, spread > 0 ? (weighted_[to] - weighted_[from] - middle * n * mean) / spread : 0};
  }

  std::vector<double> sums_{0}, weighted_{0};
};

}  // namespace

Result<std::vector<std::pair<std::size_t, std::size_t>>> UnitHistories::units() const {
  std::vector<std::pair<std::size_t, std::size_t>> units;
  std::set<std::uint32_t> known;
  for (std::size_t from = 0, to = 0; from < unit.size(); from = to) {
    if (!known.insert(unit[from]).second)
      return fail(ErrorKind::permanent, fmt::format("the rows of unit {} do not stand together", unit[from]));
    for (to = from; to < unit.size() && unit[to] == unit[from]; ++to) {
      if (to > from && !(age[to] > age[to - 1]))
        return fail(ErrorKind::permanent,
                    fmt::format("the age of unit {} does not rise in row {}", unit[from], to + 1));
    }
    units.emplace_back(from, to);
  }
  return units;
}

Result<LifeFeatures> LifeFeatures::fit(const UnitHistories& histories, std::span<const double> life) {
  if (auto refused = check_training(histories.sensors, life)) return std::unexpected(*refused);
  const auto& sensors = histories.sensors;
  LifeFeatures features;
  const auto n = static_cast<double>(sensors.rows());
  std::vector<std::size_t> used;
  for (std::size_t c = 0; c < sensors.columns(); ++c) {
    double sum = 0, squares = 0;
    for (std::size_t r = 0; r < sensors.rows(); ++r) sum += std::isfinite(sensors.at(r, c)) ? sensors.at(r, c) : 0;
    const double mean = sum / n;
    for (std::size_t r = 0; r < sensors.rows(); ++r)
      squares += std::isfinite(sensors.at(r, c)) ? std::pow(sensors.at(r, c) - mean, 2) : 0;
    const double scale = std::sqrt(squares / n);
    const bool changes = scale > 1e-6 * std::max(1e-6, std::abs(mean));
    features.means_.push_back(mean), features.scales_.push_back(changes ? scale : 0);
    if (changes) used.push_back(c);
  }
  if (used.empty()) return fail(ErrorKind::permanent, "no sensor ever changes");
  const auto count = static_cast<Index>(used.size());
  MatrixXd squares = MatrixXd::Zero(count + 1, count + 1);
  VectorXd products = VectorXd::Zero(count + 1), row(count + 1);
  const double longest = std::max(1e-9, *std::ranges::max_element(life));
  for (std::size_t r = 0; r < sensors.rows(); ++r) {
    for (Index i = 0; i < count; ++i) {
      const auto c = used[static_cast<std::size_t>(i)];
      const double value = sensors.at(r, c);
      row[i] = std::isfinite(value) ? (value - features.means_[c]) / features.scales_[c] : 0;
    }
    row[count] = 1;
    squares.selfadjointView<Eigen::Lower>().rankUpdate(row);
    products += life[r] / longest * row;
  }
  const MatrixXd whole = squares.selfadjointView<Eigen::Lower>();
  const VectorXd line = (whole + MatrixXd::Identity(count + 1, count + 1)).llt().solve(products);
  features.offset_ = line[count];
  const Eigen::SelfAdjointEigenSolver<MatrixXd> directions(whole.topLeftCorner(count, count) / n);
  features.weights_.assign(kChannels * sensors.columns(), 0);
  for (Index i = 0; i < count; ++i) {
    const auto c = used[static_cast<std::size_t>(i)];
    features.weights_[c] = line[i];
    features.weights_[sensors.columns() + c] = directions.eigenvectors()(i, count - 1);
    features.weights_[2 * sensors.columns() + c] = count > 1 ? directions.eigenvectors()(i, count - 2) : 0;
  }
  return features;
}

Table LifeFeatures::of(const UnitHistories& histories) const {
  Table result(width());
  std::vector<double> row;
  std::array<Trail, kChannels> trails;
  for (std::size_t r = 0; r < histories.sensors.rows(); ++r) {
    if (r == 0 || histories.unit[r] != histories.unit[r - 1]) trails = {};
    row.assign(1, histories.age[r]);
    for (std::size_t channel = 0; channel < kChannels; ++channel) {
      double value = channel == 0 ? offset_ : 0;
      for (std::size_t c = 0; c < sensors(); ++c) {
        const double sensor = histories.sensors.at(r, c);
        if (scales_[c] > 0 && std::isfinite(sensor))
          value += weights_[channel * sensors() + c] * (sensor - means_[c]) / scales_[c];
      }
      auto& trail = trails[channel];
      trail.add(value);
      row.push_back(value);
      for (const auto window : kWindows) {
        const auto line = trail.last(window);
        row.push_back(line.mean);
        if (window > 5) row.push_back(line.slope);
      }
      row.push_back(trail.last(15).mean - trail.mean_of_first(kFirstRows));
    }
    // Health divided by how fast it falls: a straight line to the end.
    for (const auto window : kRatios) {
      const auto line = trails[0].last(window);
      row.push_back(std::clamp(line.mean / std::max(-line.slope, 1e-3), 0.0, 400.0));
    }
    result.append(row);
  }
  return result;
}

void LifeFeatures::write(ByteWriter& out) const {
  write_reals(out, means_);
  write_reals(out, scales_);
  write_reals(out, weights_);
  out.real(offset_);
}

LifeFeatures LifeFeatures::read(ByteReader& in) {
  LifeFeatures features;
  features.means_ = read_reals(in);
  features.scales_ = read_reals(in);
  features.weights_ = read_reals(in);
  features.offset_ = read_finite(in);
  const auto sensors = features.means_.size();
  if (sensors == 0 || sensors > kMostColumns || features.scales_.size() != sensors ||
      features.weights_.size() != kChannels * sensors)
    throw BadBytes("sensors do not match");
  if (!std::ranges::all_of(features.scales_, [](double scale) { return scale >= 0; }))
    throw BadBytes("an impossible scale");
  return features;
}

}  // namespace wattd::ml
