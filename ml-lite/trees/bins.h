#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ml-lite/table.h"

namespace wattd::ml::trees {

/// The values of each column put into bins, so that a split is looked for among bins and not among rows.
/// A value lies in the bin of the first edge that is not below it; what is missing lies in the first.
class Bins {
 public:
  static constexpr std::size_t kExact = 65'535;

  /// Edges halfway between neighbouring values, or at quantiles where there are more of them than `most` (2 to kExact).
  Bins(const Table& rows, std::size_t most);

  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return edges_.size(); }
  /// Shape: a bin for each row of the table.
  std::span<const std::uint16_t> column(std::size_t index) const { return {bins_.data() + index * rows_, rows_}; }
  std::size_t count(std::size_t column) const { return edges_[column].size() + 1; }
  /// What is above it lies behind the bin.
  float edge(std::size_t column, std::size_t bin) const { return edges_[column][bin]; }

 private:
  std::size_t rows_;
  std::vector<std::vector<float>> edges_;
  std::vector<std::uint16_t> bins_;  ///< Column after column.
};

}  // namespace wattd::ml::trees
