#include "ml-lite/anomaly/isolation_forest.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"
#include "ml-lite/random.h"
#include "ml-lite/training_rows.h"

namespace wattd::ml {
namespace {

constexpr std::size_t kBlock = 16;          ///< Rows that walk down a tree together.
constexpr std::uint32_t kMostTrees = 2000;  ///< A tree takes 2.3 kB in memory however small it is in a file.
constexpr float kNever = std::numeric_limits<float>::infinity();

/// Mean number of cuts that isolate one of n rows: the path of an unsuccessful search in a binary tree.
double mean_path(double n) {
  if (n <= 1) return 0;
  if (n == 2) return 1;
  return 2 * (std::log(n - 1) + std::numbers::egamma) - 2 * (n - 1) / n;
}

}  // namespace

/// Grows one tree on a sample.
class IsolationForest::Growth {
 public:
  Growth(const std::vector<float>& sample, std::size_t columns, std::uint32_t depth, double tails, Random& random)
      : sample_(sample),
        columns_(columns),
        depth_(depth),
        random_(random),
        weights_(columns, 1),
        low_(columns),
        high_(columns) {
    for (std::size_t column = 0; tails > 0 && column < columns; ++column)
      weights_[column] = std::pow(kurtosis(column), tails);
  }

  Tree grow() {
    tree_.cut.fill(kNever);
    tree_.column.fill(0);
    tree_.length.fill(0);
    std::vector<std::uint32_t> rows(sample_.size() / columns_);
    for (std::uint32_t i = 0; i < rows.size(); ++i) rows[i] = i;
    split(0, 0, rows);
    return tree_;
  }

 private:
  void split(std::size_t node, std::uint32_t level, std::span<std::uint32_t> rows) {
    std::uint32_t column = 0;
    float low = 0, high = 0;
    if (level == depth_ || rows.size() <= 1 || !choose(rows, column, low, high)) return end(node, level, rows.size());
    float cut = low + static_cast<float>(random_.uniform()) * (high - low);
    if (cut >= high) cut = low;
    tree_.cut[node] = cut, tree_.column[node] = static_cast<std::uint8_t>(column);
    const auto right = std::ranges::partition(rows, [&](std::uint32_t row) { return !(value(row, column) > cut); });
    split(2 * node + 1, level + 1, {rows.begin(), right.begin()});
    split(2 * node + 2, level + 1, {right.begin(), right.end()});
  }

  /// A random column among those in which the rows differ.
  bool choose(std::span<const std::uint32_t> rows, std::uint32_t& column, float& low, float& high) {
    double sum = 0;
    for (std::size_t c = 0; c < columns_; ++c) {
      low_[c] = kNever, high_[c] = -kNever;
      for (const auto row : rows)
        low_[c] = std::min(low_[c], value(row, c)), high_[c] = std::max(high_[c], value(row, c));
      if (low_[c] < high_[c]) sum += weights_[c];
    }
    if (!(sum > 0)) return false;
    double left = random_.uniform() * sum;
    for (std::size_t c = 0; c < columns_; ++c) {
      if (!(low_[c] < high_[c])) continue;
      column = static_cast<std::uint32_t>(c), low = low_[c], high = high_[c];
      if ((left -= weights_[c]) < 0) break;
    }
    return true;
  }

  /// Of a column of the sample; 1 where it never changes.
  double kurtosis(std::size_t column) const {
    const auto n = static_cast<double>(sample_.size() / columns_);
    double mean = 0, second = 0, fourth = 0;
    for (auto i = column; i < sample_.size(); i += columns_) mean += static_cast<double>(sample_[i]) / n;
    for (auto i = column; i < sample_.size(); i += columns_) {
      const double square = std::pow(static_cast<double>(sample_[i]) - mean, 2);
      second += square / n, fourth += square * square / n;
    }
    return second > 0 ? std::max(1.0, fourth / (second * second)) : 1;
  }

  /// The leaf's length stands at the end of the leftmost path below it.
  void end(std::size_t node, std::uint32_t level, std::size_t rows) {
    const double length = level + mean_path(static_cast<double>(rows));
    for (auto below = level; below < kDeepest; ++below) node = 2 * node + 1;
    tree_.length[node - tree_.cut.size()] = static_cast<float>(length);
  }

  float value(std::uint32_t row, std::size_t column) const { return sample_[row * columns_ + column]; }

  const std::vector<float>& sample_;
  std::size_t columns_;
  std::uint32_t depth_;
  Random& random_;
  std::vector<double> weights_;
  std::vector<float> low_, high_;
  Tree tree_;
};

Result<IsolationForest> IsolationForest::fit(const Table& rows, const IsolationForestOptions& options) {
  if (rows.rows() < 2 || rows.columns() == 0)
    return fail(ErrorKind::permanent, "an isolation forest needs at least two rows");
  if (rows.columns() > 256) return fail(ErrorKind::permanent, fmt::format("{} columns, at most 256", rows.columns()));
  IsolationForest forest;
  Random random(options.seed);
  const auto size = std::min<std::size_t>(std::clamp(options.sample, 2U, 1U << kDeepest), rows.rows());
  forest.usual_length_ = mean_path(static_cast<double>(size));
  forest.medians_ = medians_of(rows, random);
  const auto depth = static_cast<std::uint32_t>(std::bit_width(size - 1));
  std::vector<float> sample(size * rows.columns());
  std::vector<std::uint32_t> chosen(size);
  for (std::uint32_t tree = 0; tree < std::clamp(options.trees, 1U, kMostTrees); ++tree) {
    choose_distinct(chosen, rows.rows(), random);
    for (std::size_t i = 0; i < size; ++i) forest.place(rows.row(chosen[i]).data(), &sample[i * rows.columns()]);
    forest.trees_.push_back(Growth(sample, rows.columns(), depth, options.tails, random).grow());
  }
  return forest;
}

void IsolationForest::place(const double* row, float* values) const {
  for (std::size_t i = 0; i < medians_.size(); ++i) {
    const auto value = static_cast<float>(row[i]);
    values[i] = std::isnan(value) ? medians_[i] : value;
  }
}

double IsolationForest::score_of(double length) const {
  return std::exp2(-length / static_cast<double>(trees_.size()) / usual_length_);
}

double IsolationForest::score(std::span<const double> row) const {
  std::vector<float> values(columns());
  place(row.data(), values.data());
  // Trees in fours: each waits for its own node only.
  constexpr std::size_t kTrees = 4;
  double length = 0;
  for (std::size_t first = 0; first < trees_.size(); first += kTrees) {
    const auto count = std::min(kTrees, trees_.size() - first);
    std::array<std::size_t, kTrees> at{};
    for (std::uint32_t level = 0; level < kDeepest; ++level) {
      for (std::size_t t = 0; t < count; ++t) {
        const auto& tree = trees_[first + t];
        at[t] = 2 * at[t] + 1 + (values[tree.column[at[t]]] > tree.cut[at[t]]);
      }
    }
    for (std::size_t t = 0; t < count; ++t)
      length += static_cast<double>(trees_[first + t].length[at[t] - trees_[0].cut.size()]);
  }
  return score_of(length);
}

std::vector<double> IsolationForest::score(const Table& rows) const {
  std::vector<double> scores(rows.rows());
  std::vector<float> values(kBlock * columns());
  for (std::size_t first = 0; first < rows.rows(); first += kBlock) {
    const auto count = std::min(kBlock, rows.rows() - first);
    for (std::size_t i = 0; i < count; ++i) place(rows.row(first + i).data(), &values[i * columns()]);
    std::array<double, kBlock> lengths{};
    for (const auto& tree : trees_) {
      std::array<std::uint32_t, kBlock> at{};
      for (std::uint32_t level = 0; level < kDeepest; ++level) {
        for (std::size_t i = 0; i < kBlock; ++i)
          at[i] =
              2 * at[i] + 1 + static_cast<std::uint32_t>(values[i * columns() + tree.column[at[i]]] > tree.cut[at[i]]);
      }
      for (std::size_t i = 0; i < kBlock; ++i) lengths[i] += static_cast<double>(tree.length[at[i] - tree.cut.size()]);
    }
    for (std::size_t i = 0; i < count; ++i) scores[first + i] = score_of(lengths[i]);
  }
  return scores;
}

std::vector<double> IsolationForest::explain(std::span<const double> row) const {
  return explain_with(row, [this](std::span<const double> changed) { return score(changed); });
}

std::vector<double> IsolationForest::explain_with(
    std::span<const double> row, const std::function<double(std::span<const double>)>& score_of_row) const {
  const double whole = score_of_row(row);
  std::vector<double> shares(columns()), changed(row.begin(), row.end());
  for (std::size_t i = 0; i < shares.size(); ++i) {
    changed[i] = static_cast<double>(medians_[i]);
    shares[i] = whole - score_of_row(changed);
    changed[i] = row[i];
  }
  return shares;
}

void IsolationForest::write(ByteWriter& out) const {
  write_floats(out, medians_);
  out.real(usual_length_);
  out.varint(trees_.size());
  for (const auto& tree : trees_) {
    // From the root on, what is cut; a leaf and what the heap has below it is one byte and its length.
    const auto visit = [&](auto& self, std::size_t node) -> void {
      if (node < tree.cut.size() && tree.cut[node] != kNever) {
        out.varint(tree.column[node] + 1U);
        out.word(std::bit_cast<std::uint32_t>(tree.cut[node]));
        self(self, 2 * node + 1);
        self(self, 2 * node + 2);
        return;
      }
      while (node < tree.cut.size()) node = 2 * node + 1;
      out.varint(0);
      out.word(std::bit_cast<std::uint32_t>(tree.length[node - tree.cut.size()]));
    };
    visit(visit, 0);
  }
}

IsolationForest IsolationForest::read(ByteReader& in) {
  IsolationForest forest;
  forest.medians_ = read_floats(in);
  forest.usual_length_ = read_finite(in);
  if (forest.medians_.empty() || forest.medians_.size() > 256) throw BadBytes("an impossible number of columns");
  if (!(forest.usual_length_ > 0)) throw BadBytes("an impossible length");
  const auto trees = in.count(5);
  if (trees > kMostTrees) throw BadBytes("too many trees");
  forest.trees_.resize(trees);
  if (forest.trees_.empty()) throw BadBytes("a forest without trees");
  for (auto& tree : forest.trees_) {
    tree.cut.fill(kNever);
    tree.column.fill(0);
    tree.length.fill(0);
    const auto visit = [&](auto& self, std::size_t node) -> void {
      const auto column = in.varint();
      const float value = std::bit_cast<float>(in.word());
      if (!std::isfinite(value)) throw BadBytes("a number is not finite");
      if (column == 0) {
        if (value < 0) throw BadBytes("a path of negative length");
        while (node < tree.cut.size()) node = 2 * node + 1;
        tree.length[node - tree.cut.size()] = value;
        return;
      }
      if (column > forest.medians_.size()) throw BadBytes("a cut in a column that is not there");
      if (node >= tree.cut.size()) throw BadBytes("a tree is too deep");
      tree.column[node] = static_cast<std::uint8_t>(column - 1), tree.cut[node] = value;
      self(self, 2 * node + 1);
      self(self, 2 * node + 2);
    };
    visit(visit, 0);
  }
  return forest;
}

}  // namespace wattd::ml
