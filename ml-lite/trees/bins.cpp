#include "ml-lite/trees/bins.h"

#include <algorithm>
#include <cmath>

namespace wattd::ml::trees {
namespace {

/// Ascending edges between the distinct values; at most `most` - 1.
std::vector<float> edges_of(std::vector<float> values, std::size_t most) {
  std::erase_if(values, [](float value) { return std::isnan(value); });
  std::ranges::sort(values);
  std::vector<float> edges;
  const auto between = [&](float low, float high) {
    const float middle = low + (high - low) / 2;
    edges.push_back(middle < high ? middle : low);
  };
  std::vector<float> distinct = values;
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  if (distinct.size() <= most) {
    for (std::size_t i = 1; i < distinct.size(); ++i) between(distinct[i - 1], distinct[i]);
    return edges;
  }
  for (std::size_t bin = 1; bin < most; ++bin) {
    const float value = values[bin * values.size() / most];
    const auto next = std::ranges::upper_bound(distinct, value);
    if (next != distinct.end() && (edges.empty() || value > edges.back())) between(value, *next);
  }
  return edges;
}

}  // namespace

Bins::Bins(const Table& rows, std::size_t most) : rows_(rows.rows()), bins_(rows.rows() * rows.columns()) {
  most = std::clamp<std::size_t>(most, 2, kExact);
  std::vector<float> values(rows_);
  for (std::size_t column = 0; column < rows.columns(); ++column) {
    for (std::size_t row = 0; row < rows_; ++row) values[row] = static_cast<float>(rows.at(row, column));
    const auto& edges = edges_.emplace_back(edges_of(values, most));
    for (std::size_t row = 0; row < rows_; ++row) {
      const auto edge = std::isnan(values[row]) ? edges.begin() : std::ranges::lower_bound(edges, values[row]);
      bins_[column * rows_ + row] = static_cast<std::uint16_t>(edge - edges.begin());
    }
  }
}

}  // namespace wattd::ml::trees
