#include "ml-lite/anomaly/outlier_ensemble.h"

#include <algorithm>
#include <cmath>

#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"
#include "ml-lite/training_rows.h"

namespace wattd::ml {
namespace {

double within(double score, double middle, double width) { return std::clamp((score - middle) / width, -3.0, 8.0); }

}  // namespace

Result<OutlierEnsemble> OutlierEnsemble::fit(const Table& rows, std::uint64_t seed) {
  OutlierEnsemble model;
  auto forest = IsolationForest::fit(rows, {.tails = 1, .seed = seed});
  if (!forest) return std::unexpected(forest.error());
  auto tails = Tails::fit(rows);
  if (!tails) return std::unexpected(tails.error());
  auto distance = RobustDistance::fit(rows, seed);
  if (!distance) return std::unexpected(distance.error());
  model.forest_ = std::move(*forest), model.tails_ = std::move(*tails), model.distance_ = std::move(*distance);
  Random random(seed);
  std::vector<std::uint32_t> sample(std::min<std::size_t>(rows.rows(), 10'000));
  choose_distinct(sample, rows.rows(), random);
  std::array<std::vector<double>, 3> scores;
  for (const auto row : sample) {
    const auto each = model.raw(rows.row(row));
    for (std::size_t member = 0; member < each.size(); ++member) scores[member].push_back(each[member]);
  }
  for (std::size_t member = 0; member < scores.size(); ++member) {
    const double width = quantile(scores[member], 0.75) - quantile(scores[member], 0.25);
    model.spreads_[member] = {median(scores[member]), width > 1e-9 ? width : 1};
  }
  return model;
}

double OutlierEnsemble::score(std::span<const double> row) const {
  const auto each = raw(row);
  double sum = 0;
  for (std::size_t member = 0; member < each.size(); ++member)
    sum += within(each[member], spreads_[member].middle, spreads_[member].width);
  return sum;
}

std::vector<double> OutlierEnsemble::score(const Table& rows) const {
  const auto lengths = forest_.score(rows);
  std::vector<double> scores(rows.rows());
  for (std::size_t row = 0; row < scores.size(); ++row) {
    scores[row] = within(lengths[row], spreads_[0].middle, spreads_[0].width) +
                  within(tails_.score(rows.row(row)), spreads_[1].middle, spreads_[1].width) +
                  within(distance_.score(rows.row(row)), spreads_[2].middle, spreads_[2].width);
  }
  return scores;
}

std::vector<double> OutlierEnsemble::explain(std::span<const double> row) const {
  return forest_.explain_with(row, [this](std::span<const double> changed) { return score(changed); });
}

void OutlierEnsemble::write(ByteWriter& out) const {
  forest_.write(out);
  tails_.write(out);
  distance_.write(out);
  for (const auto& spread : spreads_) out.real(spread.middle), out.real(spread.width);
}

OutlierEnsemble OutlierEnsemble::read(ByteReader& in) {
  OutlierEnsemble model;
  model.forest_ = IsolationForest::read(in);
  model.tails_ = Tails::read(in);
  model.distance_ = RobustDistance::read(in);
  if (model.tails_.columns() != model.columns() || model.distance_.columns() != model.columns())
    throw BadBytes("columns do not match");
  for (auto& spread : model.spreads_) {
    spread = {read_finite(in), read_finite(in)};
    if (!(spread.width > 0)) throw BadBytes("an impossible spread");
  }
  return model;
}

}  // namespace wattd::ml
