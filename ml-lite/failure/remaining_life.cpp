#include "ml-lite/failure/remaining_life.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"
#include "ml-lite/training_rows.h"

namespace wattd::ml {
namespace {

constexpr std::uint32_t kFolds = 4;
constexpr std::size_t kLeastUnits = 10;
constexpr std::size_t kLeastRows = 50;  ///< That a margin is taken from.
/// Where margins change, as shares of the cap.
constexpr double kEdges[] = {0.12, 0.24, 0.36, 0.48, 0.6, 0.72, 0.84, 0.944, std::numeric_limits<double>::infinity()};

UnitHistories pick_units(const UnitHistories& histories, std::span<const std::uint32_t> rows) {
  UnitHistories picked{pick(histories.sensors, rows), {}, {}};
  for (const auto row : rows) picked.unit.push_back(histories.unit[row]), picked.age.push_back(histories.age[row]);
  return picked;
}

double between(double x, double x0, double y0, double x1, double y1) {
  return x1 > x0 ? y0 + (y1 - y0) * (x - x0) / (x1 - x0) : y0;
}

}  // namespace

Result<RemainingLife> RemainingLife::fit_mean(const UnitHistories& histories, std::span<const double> life,
                                              const RemainingLifeOptions& options) {
  RemainingLife model;
  model.cap_ = options.cap;
  auto features = LifeFeatures::fit(histories, life);
  if (!features) return std::unexpected(features.error());
  model.features_ = std::move(*features);
  const auto rows = model.features_.of(histories);
  auto boosted = GradientBoosting::fit(
      rows, life, {.trees = 200, .depth = 5, .rate = 0.05, .ridge = 0, .least_rows = 20, .seed = options.seed});
  if (!boosted) return std::unexpected(boosted.error());
  auto forest = RandomForest::fit(rows, life,
                                  {.trees = 40,
                                   .least_rows = 10,
                                   .bins = 255,
                                   .columns = static_cast<std::uint32_t>(rows.columns() / 3),
                                   .seed = options.seed});
  if (!forest) return std::unexpected(forest.error());
  model.boosted_ = std::move(*boosted), model.forest_ = std::move(*forest);
  return model;
}

Result<RemainingLife> RemainingLife::fit(const UnitHistories& histories, const RemainingLifeOptions& options) {
  const auto units = histories.units();
  if (!units) return std::unexpected(units.error());
  if (units->size() < kLeastUnits)
    return fail(ErrorKind::permanent,
                fmt::format("{} units that failed, at least {} are needed", units->size(), kLeastUnits));
  if (!(options.cap > 0) || !(options.coverage > 0 && options.coverage < 1))
    return fail(ErrorKind::permanent, "the cap is above 0, the coverage between 0 and 1");
  std::vector<double> life(histories.age.size());
  for (const auto& [from, to] : *units) {
    for (auto row = from; row < to; ++row)
      life[row] = std::min(options.cap, histories.age[to - 1] - histories.age[row]);
  }
  auto model = fit_mean(histories, life, options);
  if (!model) return model;

  // What models of the other units say of units they have not seen.
  const auto fold_of = folds_of(histories.unit, {}, kFolds, options.seed);
  std::vector<double> unseen(life.size());
  for (std::uint32_t fold = 0; fold < kFolds; ++fold) {
    std::vector<std::uint32_t> seen, held_back;
    for (std::uint32_t row = 0; row < life.size(); ++row) (fold_of[row] == fold ? held_back : seen).push_back(row);
    auto partial = fit_mean(pick_units(histories, seen), pick(life, seen), options);
    if (!partial) return partial;
    const auto values = partial->expected(pick_units(histories, held_back));
    for (std::size_t i = 0; i < held_back.size(); ++i) unseen[held_back[i]] = values[i];
  }
  // Rows at the cap are easy and many: the tails are a little narrower than the coverage asks for, since it is met over
  // all rows.
  const double tail = (1 - options.coverage) / 2 * 1.2;
  double low_edge = -1;
  for (const double share : kEdges) {
    std::vector<double> at, off;
    for (std::size_t row = 0; row < life.size(); ++row) {
      if (unseen[row] >= low_edge && unseen[row] < share * options.cap)
        at.push_back(unseen[row]), off.push_back(life[row] - unseen[row]);
    }
    if (at.size() >= kLeastRows) model->margins_.push_back({mean(at), quantile(off, tail), quantile(off, 1 - tail)});
    low_edge = share * options.cap;
  }
  if (model->margins_.empty()) {
    std::vector<double> off;
    for (std::size_t row = 0; row < life.size(); ++row) off.push_back(life[row] - unseen[row]);
    model->margins_.push_back({0, quantile(off, tail), quantile(off, 1 - tail)});
  }
  return model;
}

std::vector<double> RemainingLife::expected(const UnitHistories& histories) const {
  const auto rows = features_.of(histories);
  auto values = boosted_.predict(rows);
  const auto others = forest_.predict(rows);
  for (std::size_t row = 0; row < values.size(); ++row)
    values[row] = std::clamp((values[row] + others[row]) / 2, 0.0, cap_);
  return values;
}

Result<void> RemainingLife::check(const UnitHistories& histories) const {
  if (const auto units = histories.units(); !units) return std::unexpected(units.error());
  if (histories.sensors.columns() != sensors())
    return fail(ErrorKind::permanent,
                fmt::format("{} sensors, the model was fitted on {}", histories.sensors.columns(), sensors()));
  return {};
}

Result<Table> RemainingLife::explain(const UnitHistories& histories) const {
  if (const auto usable = check(histories); !usable) return std::unexpected(usable.error());
  const auto all = expected(histories);
  Table shares(all.size(), sensors());
  auto usual = histories;
  for (std::size_t sensor = 0; sensor < sensors(); ++sensor) {
    // What is missing counts as the mean.
    for (std::size_t row = 0; row < all.size(); ++row)
      usual.sensors.at(row, sensor) = std::numeric_limits<double>::quiet_NaN();
    const auto without = expected(usual);
    for (std::size_t row = 0; row < all.size(); ++row) {
      shares.at(row, sensor) = all[row] - without[row];
      usual.sensors.at(row, sensor) = histories.sensors.at(row, sensor);
    }
  }
  return shares;
}

Result<std::vector<RemainingLife::Life>> RemainingLife::predict(const UnitHistories& histories) const {
  if (const auto usable = check(histories); !usable) return std::unexpected(usable.error());
  std::vector<Life> lives;
  for (const double value : expected(histories)) {
    const auto above = std::ranges::upper_bound(margins_, value, {}, &Margin::at);
    const auto& right = above == margins_.end() ? margins_.back() : *above;
    const auto& left = above == margins_.begin() ? margins_.front() : *(above - 1);
    lives.push_back({value, std::clamp(value + between(value, left.at, left.low, right.at, right.low), 0.0, cap_),
                     std::clamp(value + between(value, left.at, left.high, right.at, right.high), 0.0, cap_)});
  }
  return lives;
}

void RemainingLife::write(ByteWriter& out) const {
  out.real(cap_);
  features_.write(out);
  boosted_.write(out);
  forest_.write(out);
  out.varint(margins_.size());
  for (const auto& margin : margins_) out.real(margin.at), out.real(margin.low), out.real(margin.high);
}

RemainingLife RemainingLife::read(ByteReader& in) {
  RemainingLife model;
  model.cap_ = read_finite(in);
  if (!(model.cap_ > 0)) throw BadBytes("an impossible cap");
  model.features_ = LifeFeatures::read(in);
  model.boosted_ = GradientBoosting::read(in);
  model.forest_ = RandomForest::read(in);
  const auto width = LifeFeatures::width();
  if (model.boosted_.columns() != width || model.forest_.columns() != width) throw BadBytes("columns do not match");
  model.margins_.resize(in.count(24));
  if (model.margins_.empty()) throw BadBytes("an interval is missing");
  for (auto& margin : model.margins_) margin = {read_finite(in), read_finite(in), read_finite(in)};
  if (!std::ranges::is_sorted(model.margins_, {}, &Margin::at)) throw BadBytes("margins are not sorted");
  return model;
}

}  // namespace wattd::ml
