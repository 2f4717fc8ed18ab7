#include "ml-lite/failure/random_forest.h"

#include <algorithm>
#include <cmath>

#include "ml-lite/training_rows.h"
#include "ml-lite/trees/grow.h"

namespace wattd::ml {
namespace {

/// As many rows as there are, drawn with replacement, in ascending order: neighbours in memory stay neighbours.
std::vector<std::uint32_t> drawn(std::size_t rows, Random& random, std::vector<std::uint8_t>& times) {
  times.assign(rows, 0);
  for (std::size_t i = 0; i < rows; ++i) {
    auto& count = times[random.below(static_cast<std::uint32_t>(rows))];
    count = static_cast<std::uint8_t>(std::min(count + 1, 255));
  }
  std::vector<std::uint32_t> chosen;
  chosen.reserve(rows);
  for (std::size_t row = 0; row < rows; ++row) chosen.insert(chosen.end(), times[row], static_cast<std::uint32_t>(row));
  return chosen;
}

}  // namespace

Result<RandomForest> RandomForest::fit(const Table& rows, std::span<const double> target,
                                       const RandomForestOptions& options) {
  if (auto refused = check_training(rows, target)) return std::unexpected(*refused);
  RandomForest forest;
  forest.columns_ = rows.columns();
  const trees::Bins bins(rows, options.bins);
  std::vector<trees::Slope> slopes(rows.rows());
  for (std::size_t row = 0; row < rows.rows(); ++row) slopes[row] = {static_cast<float>(-target[row]), 1};
  const auto root = static_cast<std::uint32_t>(std::lround(std::sqrt(static_cast<double>(rows.columns()))));
  const trees::Growth growth{.depth = std::min<std::uint32_t>(options.depth, 64),
                             .least_rows = options.least_rows,
                             .columns = options.columns != 0 ? options.columns : std::max(1U, root)};
  Random random(options.seed);
  std::vector<std::uint8_t> times;
  std::vector<double> sums(rows.rows()), counts(rows.rows());
  for (std::uint32_t tree = 0; tree < options.trees; ++tree) {
    auto chosen = drawn(rows.rows(), random, times);
    trees::grow(forest.trees_, bins, slopes, chosen, growth, random);
    for (std::size_t row = 0; row < rows.rows(); ++row) {
      if (times[row] != 0) continue;
      sums[row] += forest.trees_.value_in(tree, bins, row);
      counts[row] += 1;
    }
  }
  forest.out_of_bag_ = forest.predict(rows);
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    if (counts[row] > 0) forest.out_of_bag_[row] = sums[row] / counts[row];
  }
  return forest;
}

std::vector<double> RandomForest::predict(const Table& rows) const {
  std::vector<double> values(rows.rows());
  trees_.add(rows, values);
  for (double& value : values) value /= static_cast<double>(trees_.size());
  return values;
}

std::vector<double> RandomForest::explain(std::span<const double> row) const {
  std::vector<double> shares(columns_);
  trees_.explain(row, shares);
  for (double& share : shares) share /= static_cast<double>(trees_.size());
  return shares;
}

void RandomForest::write(ByteWriter& out) const {
  out.varint(columns_);
  trees_.write(out);
}

RandomForest RandomForest::read(ByteReader& in) {
  RandomForest forest;
  forest.columns_ = in.varint();
  if (forest.columns_ == 0 || forest.columns_ > kMostColumns) throw BadBytes("an impossible number of columns");
  forest.trees_ = trees::Trees::read(in, forest.columns_);
  if (forest.trees_.size() == 0) throw BadBytes("a forest without trees");
  return forest;
}

}  // namespace wattd::ml
