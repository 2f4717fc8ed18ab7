#include "ml-lite/anomaly/autoencoder.h"

#include <fmt/format.h>

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>

#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"
#include "ml-lite/neural/adam.h"
#include "ml-lite/training_rows.h"

namespace wattd::ml {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr std::size_t kLayers = 4;
constexpr Index kBatch = 32;
constexpr std::uint32_t kMostNetworks = 32;
constexpr double kFar = 5;  ///< Standardised values are bent beyond it: one wild row must not steer the fit.

/// Columns → hidden → code → hidden → columns; all but the last bent by tanh.
struct Shape {
  std::array<Index, kLayers + 1> units;

  Shape(std::size_t columns, std::uint32_t hidden, std::uint32_t code)
      : units{static_cast<Index>(columns), hidden, code, hidden, static_cast<Index>(columns)} {}
  Index offset(std::size_t layer) const {
    Index sum = 0;
    for (std::size_t i = 0; i < layer; ++i) sum += units[i + 1] * (units[i] + 1);
    return sum;
  }
  Index size() const { return offset(kLayers); }
  Eigen::Map<const MatrixXd> matrix(const double* weights, std::size_t layer) const {
    return {weights + offset(layer), units[layer + 1], units[layer]};
  }
  Eigen::Map<const VectorXd> offsets(const double* weights, std::size_t layer) const {
    return {weights + offset(layer) + units[layer + 1] * units[layer], units[layer + 1]};
  }
};

using Layers = std::array<MatrixXd, kLayers + 1>;  ///< What each layer says, a column a row of the batch.

void forward(const Shape& shape, const double* weights, Layers& layers) {
  for (std::size_t l = 0; l < kLayers; ++l) {
    layers[l + 1].noalias() = shape.matrix(weights, l) * layers[l];
    layers[l + 1].colwise() += shape.offsets(weights, l);
    if (l + 1 < kLayers) layers[l + 1] = layers[l + 1].array().tanh();
  }
}

void backward(const Shape& shape, const double* weights, const Layers& layers, VectorXd& slope) {
  MatrixXd delta = (layers[kLayers] - layers[0]) / static_cast<double>(layers[0].size());
  // Beyond a few deviations the loss grows in a straight line (Huber).
  delta = delta.cwiseMax(-1.0 / static_cast<double>(layers[0].size()))
              .cwiseMin(1.0 / static_cast<double>(layers[0].size()));
  for (std::size_t l = kLayers; l-- > 0;) {
    Eigen::Map<MatrixXd>(slope.data() + shape.offset(l), shape.units[l + 1], shape.units[l]).noalias() =
        delta * layers[l].transpose();
    slope.segment(shape.offset(l) + shape.units[l + 1] * shape.units[l], shape.units[l + 1]) = delta.rowwise().sum();
    if (l == 0) break;
    MatrixXd before = shape.matrix(weights, l).transpose() * delta;
    delta = before.array() * (1 - layers[l].array().square());
  }
}

double bend(double value) {
  const double held = std::clamp(value, -1e6, 1e6);  // Infinite distances, too.
  return std::abs(held) <= kFar ? held : std::copysign(kFar + std::log1p(std::abs(held) - kFar), held);
}

/// In the middle of a column: half of the values tell how far they spread, and however wild the others are changes
/// nothing. Where more than half are equal, what lies between the outer tenths; at last the deviation.
double spread_of(const std::vector<double>& column) {
  for (const double spread : {robust_deviation(column), (quantile(column, 0.9) - quantile(column, 0.1)) / 2.563,
                              column.empty() ? 0 : deviation(column)}) {
    if (std::isfinite(spread) && spread > 0) return spread;
  }
  return 1;
}

}  // namespace

Result<Autoencoder> Autoencoder::fit(const Table& rows, const AutoencoderOptions& options) {
  if (rows.rows() < 10 || rows.columns() == 0)
    return fail(ErrorKind::permanent, "an autoencoder needs at least ten rows");
  if (rows.columns() > 256) return fail(ErrorKind::permanent, fmt::format("{} columns, at most 256", rows.columns()));
  Autoencoder model;
  Random random(options.seed);
  model.hidden_ = options.hidden != 0 ? std::min(options.hidden, 256U)
                                      : std::min<std::uint32_t>(32, static_cast<std::uint32_t>(2 * rows.columns()));
  model.code_ = std::clamp(options.code, 1U, 256U);
  model.learn_scales(rows);
  for (std::uint32_t i = 0; i < std::clamp(options.networks, 1U, kMostNetworks); ++i)
    model.networks_.push_back(model.train(rows, options.updates, random));
  return model;
}

void Autoencoder::learn_scales(const Table& rows) {
  std::vector<double> column;
  for (std::size_t c = 0; c < rows.columns(); ++c) {
    column.clear();
    for (std::size_t r = 0; r < rows.rows(); ++r) {
      if (std::isfinite(rows.at(r, c))) column.push_back(rows.at(r, c));
    }
    centres_.push_back(column.empty() ? 0 : median(column));
    scales_.push_back(spread_of(column));
  }
}

Autoencoder::Network Autoencoder::train(const Table& rows, std::uint32_t updates, Random& random) const {
  const auto count = columns();
  const Shape shape(count, hidden_, code_);
  Network network{std::vector<double>(static_cast<std::size_t>(shape.size())), std::vector<double>(count, 1)};
  for (std::size_t l = 0; l < kLayers; ++l) {
    const double scale = std::sqrt(1.0 / static_cast<double>(shape.units[l]));
    for (Index i = 0; i < shape.units[l + 1] * shape.units[l]; ++i)
      network.weights[static_cast<std::size_t>(shape.offset(l) + i)] = scale * random.normal();
  }
  Eigen::Map<VectorXd> weights(network.weights.data(), shape.size());
  Adam adam(shape.size());
  VectorXd slope(shape.size());
  Layers layers;
  layers[0].resize(static_cast<Index>(count), kBatch);
  for (std::uint32_t update = 0; update < updates; ++update) {
    for (Index i = 0; i < kBatch; ++i) {
      const auto row = standardised(rows.row(random.below(static_cast<std::uint32_t>(rows.rows()))));
      std::ranges::copy(row, layers[0].col(i).data());
    }
    forward(shape, weights.data(), layers);
    backward(shape, weights.data(), layers, slope);
    adam.step(weights, slope);
    if (update == updates / 2 || update == updates * 3 / 4) adam.slow_down(0.3);
  }
  for (double& weight : network.weights)
    weight = static_cast<double>(static_cast<float>(weight));  // As the file holds it.
  // The usual error of a column, by its median: without it, one that is mere noise would speak loudest.
  std::vector<std::vector<double>> seen(count);
  std::vector<std::uint32_t> chosen(std::min<std::size_t>(rows.rows(), 4096));
  choose_distinct(chosen, rows.rows(), random);
  for (const auto row : chosen) {
    const auto off = squares(network, standardised(rows.row(row)));
    for (std::size_t c = 0; c < count; ++c) seen[c].push_back(off[c]);
  }
  constexpr double kMedianOfSquare = 0.4549;  // Of a standard normal distribution.
  // A column that is repeated to a hair is told in tenths of its spread: how fine the hair is differs from fit to fit.
  constexpr double kLeastSquare = 0.01;
  for (std::size_t c = 0; c < count; ++c)
    network.errors[c] = std::sqrt(std::max(kLeastSquare, median(seen[c]) / kMedianOfSquare));
  return network;
}

std::vector<double> Autoencoder::squares(const Network& network, std::span<const double> values) const {
  const Shape shape(columns(), hidden_, code_);
  Layers layers;
  layers[0] = Eigen::Map<const VectorXd>(values.data(), static_cast<Index>(values.size()));
  forward(shape, network.weights.data(), layers);
  std::vector<double> result(values.size());
  for (std::size_t c = 0; c < result.size(); ++c) {
    const double off = (layers[kLayers](static_cast<Index>(c), 0) - values[c]) / network.errors[c];
    result[c] = off * off;
  }
  return result;
}

std::vector<double> Autoencoder::standardised(std::span<const double> row) const {
  std::vector<double> values(row.size());
  for (std::size_t i = 0; i < row.size(); ++i)
    values[i] = std::isfinite(row[i]) ? bend((row[i] - centres_[i]) / scales_[i]) : 0;
  return values;
}

std::vector<double> Autoencoder::explain(std::span<const double> row) const {
  const auto values = standardised(row);
  std::vector<double> shares(columns());
  const auto parts = static_cast<double>(columns() * networks_.size());
  for (const auto& network : networks_) {
    const auto off = squares(network, values);
    for (std::size_t c = 0; c < shares.size(); ++c) shares[c] += off[c] / parts;
  }
  return shares;
}

double Autoencoder::score(std::span<const double> row) const {
  double sum = 0;
  for (const double share : explain(row)) sum += share;
  return sum;
}

std::vector<double> Autoencoder::score(const Table& rows) const {
  std::vector<double> scores(rows.rows());
  for (std::size_t row = 0; row < scores.size(); ++row) scores[row] = score(rows.row(row));
  return scores;
}

void Autoencoder::write(ByteWriter& out) const {
  out.varint(hidden_);
  out.varint(code_);
  write_reals(out, centres_);
  write_reals(out, scales_);
  out.varint(networks_.size());
  for (const auto& network : networks_) {
    write_reals(out, network.errors);
    write_floats(out, std::vector<float>(network.weights.begin(), network.weights.end()));
  }
}

Autoencoder Autoencoder::read(ByteReader& in) {
  Autoencoder model;
  const auto hidden = in.varint(), code = in.varint();
  if (hidden == 0 || hidden > 256 || code == 0 || code > 256) throw BadBytes("an impossible layer");
  model.hidden_ = static_cast<std::uint32_t>(hidden), model.code_ = static_cast<std::uint32_t>(code);
  model.centres_ = read_reals(in);
  model.scales_ = read_reals(in);
  const auto columns = model.centres_.size();
  const auto positive = [](double value) { return value > 0; };
  if (columns == 0 || columns > 256 || model.scales_.size() != columns) throw BadBytes("columns do not match");
  if (!std::ranges::all_of(model.scales_, positive)) throw BadBytes("an impossible scale");
  const auto count = in.varint();
  if (count == 0 || count > kMostNetworks) throw BadBytes("an impossible number of networks");
  for (std::uint64_t i = 0; i < count; ++i) {
    auto& network = model.networks_.emplace_back();
    network.errors = read_reals(in);
    const auto weights = read_floats(in);
    network.weights.assign(weights.begin(), weights.end());
    if (network.errors.size() != columns || !std::ranges::all_of(network.errors, positive))
      throw BadBytes("an impossible error");
    if (static_cast<Index>(weights.size()) != Shape(columns, model.hidden_, model.code_).size())
      throw BadBytes("weights do not match the layers");
  }
  return model;
}

}  // namespace wattd::ml
