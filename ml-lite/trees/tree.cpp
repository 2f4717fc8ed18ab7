#include "ml-lite/trees/tree.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace wattd::ml::trees {
namespace {

/// Rows that walk down a tree together: each waits for its own node only.
constexpr std::size_t kBlock = 16;
constexpr std::uint32_t kDeepest = 64;

std::uint32_t step(const Node& node, const float* row) {
  return node.left + static_cast<std::uint32_t>(row[node.feature] > node.threshold);
}

}  // namespace

void Trees::add(const Table& rows, std::span<double> sums) const {
  const auto columns = rows.columns();
  std::vector<float> values(kBlock * columns);
  for (std::size_t first = 0; first < rows.rows(); first += kBlock) {
    const auto count = std::min(kBlock, rows.rows() - first);
    for (std::size_t i = 0; i < count; ++i) {
      std::ranges::transform(rows.row(first + i), values.begin() + static_cast<std::ptrdiff_t>(i * columns),
                             [](double value) { return static_cast<float>(value); });
    }
    for (std::size_t tree = 0; tree < roots_.size(); ++tree) {
      std::array<std::uint32_t, kBlock> at;
      at.fill(roots_[tree]);
      for (std::uint32_t level = 0; level < depths_[tree]; ++level) {
        for (std::size_t i = 0; i < kBlock; ++i) at[i] = step(nodes_[at[i]], &values[i * columns]);
      }
      for (std::size_t i = 0; i < count; ++i) sums[first + i] += static_cast<double>(nodes_[at[i]].value);
    }
  }
}

double Trees::sum(std::span<const double> row) const {
  std::vector<float> values(row.begin(), row.end());
  double sum = 0;
  for (std::size_t tree = 0; tree < roots_.size(); ++tree) {
    auto at = roots_[tree];
    for (auto next = step(nodes_[at], values.data()); next != at; next = step(nodes_[at], values.data())) at = next;
    sum += static_cast<double>(nodes_[at].value);
  }
  return sum;
}

double Trees::value_in(std::size_t tree, const Bins& bins, std::size_t row) const {
  auto at = roots_[tree];
  while (nodes_[at].left != at) {
    const auto& node = nodes_[at];
    // A bin lies behind a threshold when its lower edge is not below it.
    const auto bin = bins.column(node.feature)[row];
    at = node.left + static_cast<std::uint32_t>(bin > 0 && bins.edge(node.feature, bin - 1U) >= node.threshold);
  }
  return static_cast<double>(nodes_[at].value);
}

void Trees::explain(std::span<const double> row, std::span<double> shares) const {
  std::vector<float> values(row.begin(), row.end());
  for (const auto root : roots_) {
    auto at = root;
    for (auto next = step(nodes_[at], values.data()); next != at; next = step(nodes_[at], values.data())) {
      shares[nodes_[at].feature] += static_cast<double>(nodes_[next].value) - static_cast<double>(nodes_[at].value);
      at = next;
    }
  }
}

void Trees::write(ByteWriter& out) const {
  out.varint(roots_.size());
  for (std::size_t tree = 0; tree < roots_.size(); ++tree) {
    const auto end = tree + 1 < roots_.size() ? roots_[tree + 1] : static_cast<std::uint32_t>(nodes_.size());
    out.varint(end - roots_[tree]);
    for (auto i = roots_[tree]; i < end; ++i) {
      const auto& node = nodes_[i];
      const bool leaf = node.left == i;
      out.varint(leaf ? 0 : node.left - i);
      if (!leaf) {
        out.varint(node.feature);
        out.word(std::bit_cast<std::uint32_t>(node.threshold));
      }
      out.word(std::bit_cast<std::uint32_t>(node.value));
    }
  }
}

Trees Trees::read(ByteReader& in, std::size_t columns) {
  constexpr auto infinity = std::numeric_limits<float>::infinity();
  Trees trees;
  trees.roots_.resize(in.count(6));
  trees.depths_.resize(trees.roots_.size());
  for (std::size_t tree = 0; tree < trees.roots_.size(); ++tree) {
    const auto first = trees.nodes_.size();
    const auto count = in.count(5);
    if (count == 0) throw BadBytes("a tree without a node");
    if (first + count > std::numeric_limits<std::uint32_t>::max()) throw BadBytes("too many nodes");
    trees.roots_[tree] = static_cast<std::uint32_t>(first);
    // Children stand behind their parents, so that every walk ends; depths are learnt on the way.
    std::vector<std::uint32_t> depth(count);
    for (std::size_t i = 0; i < count; ++i) {
      Node node{.threshold = infinity, .left = static_cast<std::uint32_t>(first + i)};
      if (const auto ahead = in.varint(); ahead != 0) {
        if (ahead >= count - i - 1 || i + ahead + 1 >= count) throw BadBytes("a node leads out of its tree");
        node.left += static_cast<std::uint32_t>(ahead);
        const auto feature = in.varint();
        if (feature >= columns) throw BadBytes("a node asks for a column that is not there");
        node.feature = static_cast<std::uint32_t>(feature);
        node.threshold = std::bit_cast<float>(in.word());
        if (std::isnan(node.threshold)) throw BadBytes("a threshold is no number");
        for (const auto child : {i + ahead, i + ahead + 1}) depth[child] = std::max(depth[child], depth[i] + 1);
      }
      node.value = std::bit_cast<float>(in.word());
      if (!std::isfinite(node.value)) throw BadBytes("a leaf has no number");
      trees.nodes_.push_back(node);
    }
    trees.depths_[tree] = std::ranges::max(depth);
    if (trees.depths_[tree] > kDeepest) throw BadBytes("a tree is too deep");
  }
  return trees;
}

}  // namespace wattd::ml::trees
