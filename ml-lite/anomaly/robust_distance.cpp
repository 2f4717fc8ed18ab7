#include "ml-lite/anomaly/robust_distance.h"

#include <fmt/format.h>

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ml-lite/model_file.h"
#include "ml-lite/random.h"
#include "ml-lite/training_rows.h"

namespace wattd::ml {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr std::size_t kMostRows = 10'000;
constexpr int kStarts = 5, kSteps = 12;

/// A cloud of rows: where it is and how it lies.
struct Cloud {
  VectorXd centre;
  MatrixXd factor;  ///< Cholesky's, of the covariance.
  double log_volume = std::numeric_limits<double>::infinity();
};

Cloud cloud_of(const MatrixXd& rows, std::span<const std::uint32_t> chosen) {
  Cloud cloud{VectorXd::Zero(rows.rows()), {}, 0};
  for (const auto row : chosen) cloud.centre += rows.col(row);
  cloud.centre /= static_cast<double>(chosen.size());
  MatrixXd covariance = MatrixXd::Identity(rows.rows(), rows.rows()) * 1e-3;
  for (const auto row : chosen) {
    const VectorXd off = rows.col(row) - cloud.centre;
    covariance.selfadjointView<Eigen::Lower>().rankUpdate(off, 1 / static_cast<double>(chosen.size()));
  }
  cloud.factor = covariance.selfadjointView<Eigen::Lower>().llt().matrixL();
  cloud.log_volume = 2 * cloud.factor.diagonal().array().log().sum();
  return cloud;
}

double within_reach(double standardised) {
  return std::isfinite(standardised) ? std::clamp(standardised, -1e6, 1e6) : 0;
}

/// The `count` rows nearest to a cloud.
std::vector<std::uint32_t> nearest(const MatrixXd& rows, const Cloud& cloud, std::size_t count) {
  MatrixXd off = rows.colwise() - cloud.centre;
  cloud.factor.triangularView<Eigen::Lower>().solveInPlace(off);
  const VectorXd distances = off.colwise().squaredNorm();
  std::vector<std::uint32_t> order(static_cast<std::size_t>(rows.cols()));
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::nth_element(order, order.begin() + static_cast<std::ptrdiff_t>(count - 1),
                           [&](auto a, auto b) { return distances[a] < distances[b]; });
  order.resize(count);
  std::ranges::sort(order);
  return order;
}

}  // namespace

Result<RobustDistance> RobustDistance::fit(const Table& rows, std::uint64_t seed) {
  const auto columns = rows.columns();
  if (columns == 0 || columns > 256)
    return fail(ErrorKind::permanent, fmt::format("{} columns, expected 1 to 256", columns));
  if (rows.rows() < std::max<std::size_t>(10, 2 * columns))
    return fail(ErrorKind::permanent, fmt::format("{} rows are too few for {} columns", rows.rows(), columns));
  Random random(seed);
  std::vector<std::uint32_t> sample(std::min(rows.rows(), kMostRows));
  choose_distinct(sample, rows.rows(), random);
  std::ranges::sort(sample);
  RobustDistance model;
  MatrixXd standard(static_cast<Index>(columns), static_cast<Index>(sample.size()));
  for (std::size_t c = 0; c < columns; ++c) {
    double sum = 0, squares = 0, known = 0;
    for (const auto row : sample) {
      if (std::isfinite(rows.at(row, c))) sum += rows.at(row, c), known += 1;
    }
    const double centre = known > 0 ? sum / known : 0;
    for (const auto row : sample) {
      if (std::isfinite(rows.at(row, c))) squares += std::pow(rows.at(row, c) - centre, 2);
    }
    const double scale = squares > 0 && std::isfinite(squares) ? std::sqrt(squares / known) : 1;
    model.centres_.push_back(centre), model.scales_.push_back(scale);
    for (std::size_t i = 0; i < sample.size(); ++i) {
      const double value = rows.at(sample[i], c);
      standard(static_cast<Index>(c), static_cast<Index>(i)) =
          std::isfinite(value) ? within_reach((value - centre) / scale) : 0;
    }
  }
  const auto half = std::max<std::size_t>(columns + 1, sample.size() * 3 / 4);
  Cloud best;
  for (int start = 0; start < kStarts; ++start) {
    std::vector<std::uint32_t> chosen(std::min(sample.size(), std::max<std::size_t>(10 * columns, 50)));
    choose_distinct(chosen, sample.size(), random);
    Cloud cloud = cloud_of(standard, chosen);
    for (int step = 0; step < kSteps; ++step) cloud = cloud_of(standard, nearest(standard, cloud, half));
    if (cloud.log_volume < best.log_volume) best = std::move(cloud);
  }
  if (best.factor.size() == 0) return fail(ErrorKind::permanent, "the values are too large to be measured together");
  for (std::size_t c = 0; c < columns; ++c) model.centres_[c] += best.centre[static_cast<Index>(c)] * model.scales_[c];
  MatrixXd whitening = MatrixXd::Identity(static_cast<Index>(columns), static_cast<Index>(columns));
  best.factor.triangularView<Eigen::Lower>().solveInPlace(whitening);
  model.whitening_.assign(whitening.data(), whitening.data() + whitening.size());
  return model;
}

double RobustDistance::score(std::span<const double> row) const {
  const auto columns = static_cast<Index>(centres_.size());
  VectorXd off(columns);
  for (Index c = 0; c < columns; ++c) {
    const auto i = static_cast<std::size_t>(c);
    off[c] = std::isfinite(row[i]) ? within_reach((row[i] - centres_[i]) / scales_[i]) : 0;
  }
  const Eigen::Map<const MatrixXd> whitening(whitening_.data(), columns, columns);
  return std::log((whitening.triangularView<Eigen::Lower>() * off).squaredNorm() + 1e-9);
}

void RobustDistance::write(ByteWriter& out) const {
  write_reals(out, centres_);
  write_reals(out, scales_);
  write_reals(out, whitening_);
}

RobustDistance RobustDistance::read(ByteReader& in) {
  RobustDistance model;
  model.centres_ = read_reals(in);
  model.scales_ = read_reals(in);
  model.whitening_ = read_reals(in);
  const auto columns = model.centres_.size();
  if (columns == 0 || columns > 256 || model.scales_.size() != columns || model.whitening_.size() != columns * columns)
    throw BadBytes("columns do not match");
  if (!std::ranges::all_of(model.scales_, [](double scale) { return scale > 0; }))
    throw BadBytes("an impossible scale");
  return model;
}

}  // namespace wattd::ml
