#include "ml-lite/forecast/lstm.h"

#include <fmt/format.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"
#include "ml-lite/neural/adam.h"
#include "ml-lite/random.h"

namespace wattd::ml {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr Index kInputs = 9;
constexpr std::uint32_t kWarm = 12;  ///< First steps of a window whose state is not worth a judgement yet.

/// Where what stands among the weights.
struct Layout {
  Index hidden;

  Index gates() const { return 4 * hidden; }
  Index of_state() const { return gates() * kInputs; }
  Index of_offset() const { return of_state() + gates() * hidden; }
  Index of_output() const { return of_offset() + gates(); }
  Index of_line() const { return of_output() + hidden; }
  Index size() const { return of_line() + kInputs + 1; }
};

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

/// What the network is told of the step at `index` of `values`.
void inputs_at(std::span<const double> values, std::size_t index, LocalTime at, std::uint32_t day,
               const Holidays& holidays, double* to) {
  const auto calendar = calendar_at(at, holidays);
  const double hour = 2 * std::numbers::pi * calendar.hour_share / 24,
               weekday = 2 * std::numbers::pi * calendar.weekday / 7;
  const double inputs[kInputs] = {values[index - 1],
                                  values[index - day],
                                  values[index - 7 * day],
                                  std::sin(hour),
                                  std::cos(hour),
                                  std::sin(weekday),
                                  std::cos(weekday),
                                  calendar.weekend ? 1.0 : 0.0,
                                  calendar.holiday ? 1.0 : 0.0};
  std::ranges::copy(inputs, to);
}

/// A network's weights, and a batch on its way through it.
class Network {
 public:
  Network(Index hidden, const double* weights) : layout_{hidden}, w_(weights) {}

  /// Shape: hidden × batch, each.
  struct State {
    MatrixXd output, cell;
  };
  struct Step {
    MatrixXd inputs, gates, cell, cell_before, output_before, output;
  };

  /// One step for the batch; the forecasts. Shape: one a column.
  VectorXd step(State& state, const MatrixXd& inputs, Step* kept = nullptr) const {
    MatrixXd gates = (input() * inputs + memory() * state.output).colwise() + offset();
    const auto h = layout_.hidden;
    gates.topRows(2 * h) = gates.topRows(2 * h).unaryExpr(&logistic);
    gates.middleRows(2 * h, h) = gates.middleRows(2 * h, h).array().tanh();
    gates.bottomRows(h) = gates.bottomRows(h).unaryExpr(&logistic);
    if (kept != nullptr) kept->inputs = inputs, kept->cell_before = state.cell, kept->output_before = state.output;
    state.cell = gates.middleRows(h, h).array() * state.cell.array() +
                 gates.topRows(h).array() * gates.middleRows(2 * h, h).array();
    state.output = gates.bottomRows(h).array() * state.cell.array().tanh();
    VectorXd forecast = (output().transpose() * state.output + line().transpose() * inputs).transpose();
    forecast.array() += w_[layout_.size() - 1];
    if (kept != nullptr) kept->gates = std::move(gates), kept->cell = state.cell, kept->output = state.output;
    return forecast;
  }

  /// Adds a step's slopes to `slope`; `output_slope` and `cell_slope` come from the step after and go to the one
  /// before.
  void back(const Step& step, const VectorXd& off, MatrixXd& output_slope, MatrixXd& cell_slope,
            VectorXd& slope) const {
    const auto h = layout_.hidden;
    slope.segment(layout_.of_output(), h) += step.output * off;
    slope.segment(layout_.of_line(), kInputs) += step.inputs * off;
    slope[layout_.size() - 1] += off.sum();
    output_slope += output() * off.transpose();
    const MatrixXd bent = step.cell.array().tanh();
    const auto in = step.gates.topRows(h).array(), keep = step.gates.middleRows(h, h).array();
    const auto fresh = step.gates.middleRows(2 * h, h).array(), out = step.gates.bottomRows(h).array();
    cell_slope.array() += output_slope.array() * out * (1 - bent.array().square());
    MatrixXd gates(4 * h, off.size());
    gates.topRows(h) = cell_slope.array() * fresh * in * (1 - in);
    gates.middleRows(h, h) = cell_slope.array() * step.cell_before.array() * keep * (1 - keep);
    gates.middleRows(2 * h, h) = cell_slope.array() * in * (1 - fresh.square());
    gates.bottomRows(h) = output_slope.array() * bent.array() * out * (1 - out);
    Eigen::Map<MatrixXd>(slope.data(), 4 * h, kInputs).noalias() += gates * step.inputs.transpose();
    Eigen::Map<MatrixXd>(slope.data() + layout_.of_state(), 4 * h, h).noalias() +=
        gates * step.output_before.transpose();
    slope.segment(layout_.of_offset(), 4 * h) += gates.rowwise().sum();
    output_slope.noalias() = memory().transpose() * gates;
    cell_slope.array() *= keep;
  }

  State at_rest(Index batch) const {
    return {MatrixXd::Zero(layout_.hidden, batch), MatrixXd::Zero(layout_.hidden, batch)};
  }

 private:
  using Matrix = Eigen::Map<const MatrixXd>;
  using Vector = Eigen::Map<const VectorXd>;
  Matrix input() const { return {w_, layout_.gates(), kInputs}; }
  Matrix memory() const { return {w_ + layout_.of_state(), layout_.gates(), layout_.hidden}; }
  Vector offset() const { return {w_ + layout_.of_offset(), layout_.gates()}; }
  Vector output() const { return {w_ + layout_.of_output(), layout_.hidden}; }
  Vector line() const { return {w_ + layout_.of_line(), kInputs}; }

  Layout layout_;
  const double* w_;
};

std::vector<double> first_weights(const Layout& layout, Random& random) {
  std::vector<double> weights(static_cast<std::size_t>(layout.size()));
  const double scale = 1 / std::sqrt(static_cast<double>(layout.hidden + kInputs));
  for (Index i = 0; i < layout.of_offset(); ++i) weights[static_cast<std::size_t>(i)] = scale * random.normal();
  // A cell that forgets at first never learns what was worth keeping.
  for (Index i = 0; i < layout.hidden; ++i)
    weights[static_cast<std::size_t>(layout.of_offset() + layout.hidden + i)] = 1;
  weights[static_cast<std::size_t>(layout.of_line())] = 0.5;
  weights[static_cast<std::size_t>(layout.of_line() + 2)] = 0.5;
  return weights;
}

/// Trains on windows of a standardised series.
class Training {
 public:
  Training(std::span<const double> values, LocalTime first, std::chrono::seconds step, const LstmOptions& options)
      : values_(values),
        options_(options),
        layout_{options.hidden},
        random_(options.seed),
        weights_(first_weights(layout_, random_)) {
    inputs_.resize(kInputs, static_cast<Index>(values.size()));
    for (std::size_t i = 7UL * options.day; i < values.size(); ++i)
      inputs_at(values, i, first + step * static_cast<std::int64_t>(i), options.day, options.holidays,
                inputs_.col(static_cast<Index>(i)).data());
  }

  std::vector<double> run() {
    Adam adam(layout_.size(), 0.005);
    Eigen::Map<VectorXd> weights(weights_.data(), layout_.size());
    for (std::uint32_t update = 0; update < options_.updates; ++update) {
      adam.step(weights, slope());
      if (update == options_.updates / 2 || update == options_.updates * 3 / 4) adam.slow_down(0.3);
    }
    for (double& weight : weights_) weight = static_cast<double>(static_cast<float>(weight));  // As the file holds it.
    return weights_;
  }

 private:
  VectorXd slope() {
    const auto batch = static_cast<Index>(options_.batch);
    const auto first = 7UL * options_.day, last = values_.size() - options_.window;
    std::vector<std::size_t> begins(options_.batch);
    for (auto& begin : begins) begin = first + random_.below(static_cast<std::uint32_t>(last - first + 1));
    const Network network(layout_.hidden, weights_.data());
    auto state = network.at_rest(batch);
    std::vector<Network::Step> steps(options_.window);
    std::vector<VectorXd> offs(options_.window, VectorXd::Zero(batch));
    MatrixXd inputs(kInputs, batch);
    for (std::uint32_t t = 0; t < options_.window; ++t) {
      for (Index b = 0; b < batch; ++b)
        inputs.col(b) = inputs_.col(static_cast<Index>(begins[static_cast<std::size_t>(b)] + t));
      const VectorXd forecast = network.step(state, inputs, &steps[t]);
      if (t < kWarm) continue;
      for (Index b = 0; b < batch; ++b) {
        // Huber's loss: a spike pulls no harder than half a deviation would.
        const double off = forecast[b] - values_[begins[static_cast<std::size_t>(b)] + t];
        offs[t][b] = std::clamp(off, -0.5, 0.5) / static_cast<double>(options_.batch * (options_.window - kWarm));
      }
    }
    VectorXd slope = VectorXd::Zero(layout_.size());
    MatrixXd output_slope = MatrixXd::Zero(layout_.hidden, batch), cell_slope = output_slope;
    for (std::uint32_t t = options_.window; t-- > 0;) network.back(steps[t], offs[t], output_slope, cell_slope, slope);
    if (const double length = slope.norm(); length > 1) slope /= length;
    return slope;
  }

  std::span<const double> values_;
  const LstmOptions& options_;
  Layout layout_;
  Random random_;
  std::vector<double> weights_;
  MatrixXd inputs_;
};

/// Runs over the last week of `values`, then ahead on its own forecasts. Shape: two weeks at least; a value a step.
std::vector<double> walk(const Network& network, std::vector<double> values, LocalTime end, std::chrono::seconds step,
                         std::uint32_t day, const Holidays& holidays, std::uint32_t steps) {
  auto state = network.at_rest(1);
  MatrixXd inputs(kInputs, 1);
  const auto known = values.size(), first = known - 7UL * day;
  std::vector<double> path;
  for (std::size_t i = first; path.size() < steps; ++i) {
    const auto ahead = static_cast<std::int64_t>(i) - static_cast<std::int64_t>(known) + 1;
    inputs_at(values, i, end + step * ahead, day, holidays, inputs.data());
    const double forecast = network.step(state, inputs)[0];
    if (i < known) continue;
    path.push_back(std::clamp(forecast, -20.0, 20.0));
    values.push_back(path.back());
  }
  return path;
}

}  // namespace

Result<Lstm> Lstm::fit(LocalTime end, std::chrono::seconds step, std::span<const double> values,
                       const LstmOptions& options) {
  const auto week = 7UL * options.day;
  if (options.day < 2 || options.window <= kWarm || options.batch == 0 || options.hidden == 0 || options.hidden > 128)
    return fail(ErrorKind::permanent, "a day has at least 2 steps, a window more than 12, a network 1 to 128 units");
  if (values.size() < 3 * week + options.window)
    return fail(ErrorKind::permanent, fmt::format("{} values are fewer than three weeks", values.size()));
  if (!std::ranges::all_of(values, [](double value) { return std::isfinite(value); }))
    return fail(ErrorKind::permanent, "a value is missing");
  Lstm model;
  model.hidden_ = options.hidden, model.day_ = options.day, model.end_ = end, model.step_ = step,
  model.holidays_ = options.holidays;
  model.centre_ = mean(values);
  model.scale_ = deviation(values);
  if (!(model.scale_ > 0)) return fail(ErrorKind::permanent, "the series never changes");
  std::vector<double> standard(values.begin(), values.end());
  for (double& value : standard) value = (value - model.centre_) / model.scale_;
  const auto first = end - step * static_cast<std::int64_t>(values.size() - 1);
  model.weights_ = Training(standard, first, step, options).run();
  model.recent_.assign(standard.end() - static_cast<std::ptrdiff_t>(2 * week), standard.end());

  // How far off it is, step by step, from some origins of the past.
  const Network network(model.hidden_, model.weights_.data());
  model.deviations_.assign(week, 1e-12);
  const auto origins = std::min<std::size_t>(20, (standard.size() - 3 * week) / 24 + 1);
  for (std::size_t o = 0; o < origins; ++o) {
    const auto known = standard.size() - week - o * 24;
    const std::vector<double> before(standard.begin() + static_cast<std::ptrdiff_t>(known - 2 * week),
                                     standard.begin() + static_cast<std::ptrdiff_t>(known));
    const auto path = walk(network, before, first + step * static_cast<std::int64_t>(known - 1), step, options.day,
                           options.holidays, static_cast<std::uint32_t>(week));
    for (std::size_t h = 0; h < week; ++h)
      model.deviations_[h] += std::pow(path[h] - standard[known + h], 2) / static_cast<double>(origins);
  }
  for (double& value : model.deviations_) value = std::sqrt(value);
  return model;
}

Path Lstm::forecast(std::uint32_t steps) const {
  Path path;
  path.mean = walk(Network(hidden_, weights_.data()), recent_, end_, step_, day_, holidays_, steps);
  for (std::size_t h = 0; h < path.mean.size(); ++h) {
    path.mean[h] = centre_ + scale_ * path.mean[h];
    path.deviation.push_back(scale_ * deviations_[std::min(h, deviations_.size() - 1)]);
  }
  return path;
}

void Lstm::observe(double value) {
  if (!std::isfinite(value)) value = forecast(1).mean[0];
  recent_.erase(recent_.begin());
  recent_.push_back((value - centre_) / scale_);
  end_ += step_;
}

void Lstm::write(ByteWriter& out) const {
  out.varint(hidden_);
  out.varint(day_);
  write_time(out, end_);
  out.varint(static_cast<std::uint64_t>(step_.count()));
  out.real(centre_);
  out.real(scale_);
  write_floats(out, std::vector<float>(weights_.begin(), weights_.end()));
  write_reals(out, recent_);
  write_reals(out, deviations_);
  write_days(out, holidays_);
}

Lstm Lstm::read(ByteReader& in) {
  Lstm model;
  const auto hidden = in.varint(), day = in.varint();
  if (hidden == 0 || hidden > 128 || day < 2 || day > 100'000) throw BadBytes("an impossible network");
  model.hidden_ = static_cast<std::uint32_t>(hidden), model.day_ = static_cast<std::uint32_t>(day);
  model.end_ = read_time(in);
  const auto step = in.varint();
  if (step == 0 || step > 86'400) throw BadBytes("an impossible step");
  model.step_ = std::chrono::seconds(step);
  model.centre_ = read_finite(in), model.scale_ = read_finite(in);
  if (!(model.scale_ > 0)) throw BadBytes("an impossible scale");
  const auto weights = read_floats(in);
  model.weights_.assign(weights.begin(), weights.end());
  model.recent_ = read_reals(in);
  model.deviations_ = read_reals(in);
  if (static_cast<Index>(model.weights_.size()) != Layout{static_cast<Index>(hidden)}.size())
    throw BadBytes("weights do not match the network");
  if (model.recent_.size() != 14 * day || model.deviations_.size() != 7 * day)
    throw BadBytes("the last two weeks are not there");
  model.holidays_ = read_days(in);
  return model;
}

}  // namespace wattd::ml
