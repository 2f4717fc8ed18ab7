#include "ml-lite/failure/failure_committee.h"

#include <algorithm>
#include <cmath>

#include "ml-lite/model_file.h"

namespace wattd::ml {
namespace {

/// A forest that has seen no failure like this one says 0, which no amount of other evidence would move.
double log_odds(double probability) {
  const double held = std::clamp(probability, 5e-4, 1 - 5e-4);
  return std::log(held / (1 - held));
}

double pooled(double forest, double boosted) { return 1 / (1 + std::exp(-(log_odds(forest) + log_odds(boosted)) / 2)); }

}  // namespace

Result<FailureCommittee> FailureCommittee::fit(const Table& rows, std::span<const double> failed, std::uint64_t seed) {
  FailureCommittee committee;
  // Failures begin at limits: a thousand bins find them where 255 see them blurred.
  auto boosted = GradientBoosting::fit(rows, failed,
                                       {.loss = Loss::logistic,
                                        .trees = 200,
                                        .depth = 4,
                                        .bins = 1024,
                                        .rate = 0.03,
                                        .ridge = 0,
                                        .least_rows = 10,
                                        .seed = seed});
  if (!boosted) return std::unexpected(boosted.error());
  const auto columns = static_cast<std::uint32_t>(std::max<std::size_t>(1, (rows.columns() + 1) / 2));
  auto forest = RandomForest::fit(rows, failed, {.trees = 300, .least_rows = 4, .columns = columns, .seed = seed});
  if (!forest) return std::unexpected(forest.error());
  committee.boosted_ = std::move(*boosted), committee.forest_ = std::move(*forest);
  return committee;
}

double FailureCommittee::predict(std::span<const double> row) const {
  return pooled(forest_.predict(row), boosted_.predict(row));
}

std::vector<double> FailureCommittee::predict(const Table& rows) const {
  auto result = forest_.predict(rows);
  const auto boosted = boosted_.predict(rows);
  for (std::size_t row = 0; row < result.size(); ++row) result[row] = pooled(result[row], boosted[row]);
  return result;
}

void FailureCommittee::write(ByteWriter& out) const {
  forest_.write(out);
  boosted_.write(out);
}

FailureCommittee FailureCommittee::read(ByteReader& in) {
  FailureCommittee committee;
  committee.forest_ = RandomForest::read(in);
  committee.boosted_ = GradientBoosting::read(in);
  if (committee.boosted_.columns() != committee.columns()) throw BadBytes("columns do not match");
  return committee;
}

}  // namespace wattd::ml
