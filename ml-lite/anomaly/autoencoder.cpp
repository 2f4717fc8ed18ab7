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

}  // namespace

Result<Autoencoder> Autoencoder::fit(const Table& rows, const AutoencoderOptions& options) {
  if (rows.rows() < 10 || rows.columns() == 0)
    return fail(ErrorKind::permanent, "an autoencoder needs at least ten rows");
  if (rows.columns() > 256) return fail(ErrorKind::permanent, fmt::format("{} columns, at most 256", rows.columns()));
  Autoencoder model;
  Random random(options.seed);
  const auto columns = rows.columns();
  model.hidden_ = options.hidden != 0 ? std::min(options.hidden, 256U)
                                      : std::min<std::uint32_t>(32, static_cast<std::uint32_t>(2 * columns));
  model.code_ =
      options.code != 0 ? std::min(options.code, 256U) : std::max(1U, static_cast<std::uint32_t>(columns / 2));
  std::vector<double> column;
  for (std::size_t c = 0; c < columns; ++c) {
    column.clear();
    for (std::size_t r = 0; r < rows.rows(); ++r) {
      if (std::isfinite(rows.at(r, c))) column.push_back(rows.at(r, c));
    }
    model.centres_.push_back(column.empty() ? 0 : median(column));
    const double spread = deviation(column);
    model.scales_.push_back(spread > 0 && std::isfinite(spread) ? spread : 1);
  }
  const Shape shape(columns, model.hidden_, model.code_);
  model.weights_.assign(static_cast<std::size_t>(shape.size()), 0);
  for (std::size_t l = 0; l < kLayers; ++l) {
    const double scale = std::sqrt(1.0 / static_cast<double>(shape.units[l]));
    for (Index i = 0; i < shape.units[l + 1] * shape.units[l]; ++i)
      model.weights_[static_cast<std::size_t>(shape.offset(l) + i)] = scale * random.normal();
  }
  Eigen::Map<VectorXd> weights(model.weights_.data(), shape.size());
  Adam adam(shape.size());
  VectorXd slope(shape.size());
  Layers layers;
  layers[0].resize(static_cast<Index>(columns), kBatch);
  for (std::uint32_t update = 0; update < options.updates; ++update) {
    for (Index i = 0; i < kBatch; ++i) {
      const auto row = model.standardised(rows.row(random.below(static_cast<std::uint32_t>(rows.rows()))));
      std::ranges::copy(row, layers[0].col(i).data());
    }
    forward(shape, weights.data(), layers);
    backward(shape, weights.data(), layers, slope);
    adam.step(weights, slope);
    if (update == options.updates / 2 || update == options.updates * 3 / 4) adam.slow_down(0.3);
  }
  for (double& weight : model.weights_)
    weight = static_cast<double>(static_cast<float>(weight));  // As the file holds it.
  // The usual error of a column: without it, one that is mere noise would speak loudest.
  model.errors_.assign(columns, 1);
  std::vector<std::vector<double>> seen(columns);
  std::vector<std::uint32_t> chosen(std::min<std::size_t>(rows.rows(), 4096));
  choose_distinct(chosen, rows.rows(), random);
  for (const auto row : chosen) {
    const auto squares = model.explain(rows.row(row));
    for (std::size_t c = 0; c < columns; ++c) seen[c].push_back(squares[c]);
  }
  for (std::size_t c = 0; c < columns; ++c)
    model.errors_[c] = std::sqrt(std::max(1e-6, mean(seen[c]) * static_cast<double>(columns)));
  return model;
}

std::vector<double> Autoencoder::standardised(std::span<const double> row) const {
  std::vector<double> values(row.size());
  for (std::size_t i = 0; i < row.size(); ++i)
    values[i] = std::isfinite(row[i]) ? bend((row[i] - centres_[i]) / scales_[i]) : 0;
  return values;
}

std::vector<double> Autoencoder::explain(std::span<const double> row) const {
  const Shape shape(columns(), hidden_, code_);
  Layers layers;
  const auto values = standardised(row);
  layers[0] = Eigen::Map<const VectorXd>(values.data(), static_cast<Index>(values.size()));
  forward(shape, weights_.data(), layers);
  std::vector<double> shares(columns());
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const double off = (layers[kLayers](static_cast<Index>(i), 0) - values[i]) / errors_[i];
    shares[i] = off * off / static_cast<double>(columns());
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
  write_reals(out, errors_);
  write_floats(out, std::vector<float>(weights_.begin(), weights_.end()));
}

Autoencoder Autoencoder::read(ByteReader& in) {
  Autoencoder model;
  const auto hidden = in.varint(), code = in.varint();
  if (hidden == 0 || hidden > 256 || code == 0 || code > 256) throw BadBytes("an impossible layer");
  model.hidden_ = static_cast<std::uint32_t>(hidden), model.code_ = static_cast<std::uint32_t>(code);
  model.centres_ = read_reals(in);
  model.scales_ = read_reals(in);
  model.errors_ = read_reals(in);
  const auto weights = read_floats(in);
  model.weights_.assign(weights.begin(), weights.end());
  const auto columns = model.centres_.size();
  if (columns == 0 || columns > 256 || model.scales_.size() != columns || model.errors_.size() != columns)
    throw BadBytes("columns do not match");
  const auto positive = [](double value) { return value > 0; };
  if (!std::ranges::all_of(model.scales_, positive) || !std::ranges::all_of(model.errors_, positive))
    throw BadBytes("an impossible scale");
  if (static_cast<Index>(model.weights_.size()) != Shape(columns, model.hidden_, model.code_).size())
    throw BadBytes("weights do not match the layers");
  return model;
}

}  // namespace wattd::ml
