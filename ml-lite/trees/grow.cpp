#include "ml-lite/trees/grow.h"

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <numeric>
#include <queue>

namespace wattd::ml::trees {
namespace {

struct Cell {
  double slope = 0;
  double curvature = 0;
  double rows = 0;

  Cell& operator+=(const Cell& other) {
    slope += other.slope, curvature += other.curvature, rows += other.rows;
    return *this;
  }
  Cell operator-(const Cell& other) const {
    return {slope - other.slope, curvature - other.curvature, rows - other.rows};
  }
};

using Histogram = std::vector<Cell>;  ///< A cell for each bin, column after column.

struct Split {
  double gain = 0;
  std::uint32_t column = 0;
  std::uint32_t bin = 0;
  Cell left;
};

/// A leaf that may still be split.
struct Open {
  std::uint32_t node;
  std::uint32_t depth;
  std::size_t first, last;  ///< Its rows.
  Cell sum;
  Split split;
  std::shared_ptr<Histogram>
      histogram;  ///< Kept for its children where all columns are looked at: shared by the queue's copies.

  bool operator<(const Open& other) const { return split.gain < other.split.gain; }
};

class Grower {
 public:
  Grower(Trees& trees, const Bins& bins, std::span<const Slope> slopes, std::span<std::uint32_t> rows,
         const Growth& growth, Random& random)
      : trees_(trees),
        bins_(bins),
        slopes_(slopes),
        rows_(rows),
        growth_(growth),
        random_(random),
        columns_(bins.columns()) {
    std::iota(columns_.begin(), columns_.end(), 0U);
    if (growth.tree_columns < columns_.size()) {
      for (std::uint32_t i = 0; i < growth.tree_columns; ++i) pick(i);
      columns_.resize(std::max(1U, growth.tree_columns));
      std::ranges::sort(columns_);
    }
    for (const auto column : columns_) first_cell_.push_back(first_cell_.back() + bins.count(column));
  }

  void grow(std::span<std::uint32_t> leaf_of) {
    trees_.begin_tree();
    std::priority_queue<Open> open;
    std::vector<Open> leaves;
    Open root{.node = add_leaf({}), .depth = 0, .first = 0, .last = rows_.size()};
    for (const auto row : rows_) root.sum += cell_of(row);
    trees_.nodes()[root.node].value = value_of(root.sum);
    if (all_columns()) root.histogram = fill(root.first, root.last);
    look(root);
    open.push(std::move(root));
    std::uint32_t count = 1, deepest = 0;
    while (!open.empty()) {
      Open leaf = open.top();
      open.pop();
      if (leaf.split.gain <= 0 || count >= growth_.leaves) {
        leaves.push_back(std::move(leaf));
        continue;
      }
      for (auto& child : split(leaf)) open.push(std::move(child));
      ++count;
      deepest = std::max(deepest, leaf.depth + 1);
    }
    trees_.set_depth(deepest);
    if (leaf_of.empty()) return;
    for (const auto& leaf : leaves)
      std::fill(leaf_of.begin() + at(leaf.first), leaf_of.begin() + at(leaf.last), leaf.node);
  }

 private:
  static std::ptrdiff_t at(std::size_t index) { return static_cast<std::ptrdiff_t>(index); }
  bool all_columns() const { return growth_.columns >= columns_.size(); }
  /// Puts a random one of the columns from place i on into it.
  void pick(std::size_t i) {
    std::swap(columns_[i], columns_[i + random_.below(static_cast<std::uint32_t>(columns_.size() - i))]);
  }
  Cell cell_of(std::uint32_t row) const { return {slopes_[row].slope, slopes_[row].curvature, 1}; }
  float value_of(const Cell& sum) const {
    return static_cast<float>(-sum.slope / (sum.curvature + growth_.ridge + 1e-12));
  }
  double worth(const Cell& sum) const { return sum.slope * sum.slope / (sum.curvature + growth_.ridge + 1e-12); }

  std::uint32_t add_leaf(const Cell& sum) {
    const auto index = static_cast<std::uint32_t>(trees_.nodes().size());
    trees_.nodes().push_back(
        {.threshold = std::numeric_limits<float>::infinity(), .left = index, .value = value_of(sum)});
    return index;
  }

  void fill_column(std::uint32_t column, std::size_t first, std::size_t last, Cell* cells) const {
    const auto bins = bins_.column(column);
    for (std::size_t i = first; i < last; ++i) {
      auto& cell = cells[bins[rows_[i]]];
      cell.slope += static_cast<double>(slopes_[rows_[i]].slope);
      cell.curvature += static_cast<double>(slopes_[rows_[i]].curvature);
      cell.rows += 1;
    }
  }

  std::shared_ptr<Histogram> fill(std::size_t first, std::size_t last) const {
    auto histogram = std::make_shared<Histogram>(first_cell_.back());
    for (std::size_t i = 0; i < columns_.size(); ++i)
      fill_column(columns_[i], first, last, &(*histogram)[first_cell_[i]]);
    return histogram;
  }

  /// The best split of a leaf: looked for among all columns, or among some.
  void look(Open& leaf) {
    leaf.split = {};
    if (leaf.depth >= growth_.depth || leaf.last - leaf.first < 2 * growth_.least_rows) return;
    if (all_columns()) {
      for (std::size_t i = 0; i < columns_.size(); ++i) consider(leaf, columns_[i], &(*leaf.histogram)[first_cell_[i]]);
      return;
    }
    // Columns that cannot be split here do not count among those that are looked at.
    std::uint32_t looked = 0;
    for (std::size_t i = 0; i < columns_.size() && looked < growth_.columns; ++i) {
      pick(i);
      if (bins_.count(columns_[i]) > 2 * (leaf.last - leaf.first)) {
        looked += consider_sorted(leaf, columns_[i]);
        continue;
      }
      scratch_.assign(bins_.count(columns_[i]), {});
      fill_column(columns_[i], leaf.first, leaf.last, scratch_.data());
      looked += consider(leaf, columns_[i], scratch_.data());
    }
  }

  /// Returns whether the leaf's rows differ in the column.
  bool consider(Open& leaf, std::uint32_t column, const Cell* cells) const {
    Cell left;
    bool differs = false;
    const double whole = worth(leaf.sum);
    for (std::size_t bin = 0; bin + 1 < bins_.count(column); ++bin) {
      if (cells[bin].rows == 0) continue;
      left += cells[bin];
      if (leaf.sum.rows - left.rows < 0.5) break;
      differs = true;
      weigh(leaf, column, static_cast<std::uint32_t>(bin), left, whole);
    }
    return differs;
  }

  /// The same where there are many more bins than rows: only bins that hold one are looked at.
  bool consider_sorted(Open& leaf, std::uint32_t column) {
    const auto bins = bins_.column(column);
    order_.clear();
    for (auto i = leaf.first; i < leaf.last; ++i)
      order_.push_back(static_cast<std::uint64_t>(bins[rows_[i]]) << 32 | rows_[i]);
    std::ranges::sort(order_);
    Cell left;
    bool differs = false;
    const double whole = worth(leaf.sum);
    for (std::size_t i = 0; i + 1 < order_.size(); ++i) {
      left += cell_of(static_cast<std::uint32_t>(order_[i]));
      const auto bin = static_cast<std::uint32_t>(order_[i] >> 32);
      if (bin == order_[i + 1] >> 32) continue;
      differs = true;
      weigh(leaf, column, bin, left, whole);
    }
    return differs;
  }

  /// Takes a split when it is better than the one that the leaf has.
  void weigh(Open& leaf, std::uint32_t column, std::uint32_t bin, const Cell& left, double whole) const {
    const Cell right = leaf.sum - left;
    if (left.rows < growth_.least_rows || right.rows < growth_.least_rows) return;
    if (left.curvature < growth_.least_weight || right.curvature < growth_.least_weight) return;
    const double gain = worth(left) + worth(right) - whole;
    if (gain > leaf.split.gain + 1e-9) leaf.split = {gain, column, bin, left};
  }

  std::array<Open, 2> split(Open& leaf) {
    const auto& split = leaf.split;
    const auto bins = bins_.column(split.column);
    const auto middle = std::stable_partition(rows_.begin() + at(leaf.first), rows_.begin() + at(leaf.last),
                                              [&](std::uint32_t row) { return bins[row] <= split.bin; });
    const auto border = static_cast<std::size_t>(middle - rows_.begin());
    const Cell right = leaf.sum - split.left;
    const auto left_node = add_leaf(split.left);
    const auto right_node = add_leaf(right);
    auto& node = trees_.nodes()[leaf.node];
    node.threshold = bins_.edge(split.column, split.bin), node.left = left_node, node.feature = split.column;
    std::array<Open, 2> children{Open{left_node, leaf.depth + 1, leaf.first, border, split.left, {}, {}},
                                 Open{right_node, leaf.depth + 1, border, leaf.last, right, {}, {}}};
    if (all_columns() && leaf.depth + 1 < growth_.depth) share_histogram(leaf, children);
    for (auto& child : children) look(child);
    return children;
  }

  /// The smaller child is counted; the other is what is left.
  void share_histogram(Open& leaf, std::array<Open, 2>& children) const {
    auto& small = children[children[0].last - children[0].first > children[1].last - children[1].first];
    auto& large = &small == &children[0] ? children[1] : children[0];
    small.histogram = fill(small.first, small.last);
    large.histogram = std::move(leaf.histogram);
    for (std::size_t i = 0; i < first_cell_.back(); ++i)
      (*large.histogram)[i] = (*large.histogram)[i] - (*small.histogram)[i];
  }

  Trees& trees_;
  const Bins& bins_;
  std::span<const Slope> slopes_;
  std::span<std::uint32_t> rows_;
  const Growth& growth_;
  Random& random_;
  std::vector<std::uint32_t> columns_;
  std::vector<std::size_t> first_cell_{0};
  std::vector<Cell> scratch_;
  std::vector<std::uint64_t> order_;
};

}  // namespace

void grow(Trees& trees, const Bins& bins, std::span<const Slope> slopes, std::span<std::uint32_t> rows,
          const Growth& growth, Random& random, std::span<std::uint32_t> leaf_of) {
  Grower(trees, bins, slopes, rows, growth, random).grow(leaf_of);
}

}  // namespace wattd::ml::trees
