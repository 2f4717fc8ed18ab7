#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ml-lite/table.h"
#include "ml-lite/trees/bins.h"
#include "telemetry/bytes.h"

namespace wattd::ml::trees {

/// A step of a decision tree: `feature` above `threshold` goes to `left` + 1, anything else, missing too, to `left`.
/// A leaf leads to itself, so that rows of one block take equally many steps.
struct Node {
  float threshold = 0;  ///< Of a leaf: infinity.
  std::uint32_t left = 0;
  std::uint32_t feature = 0;
  float value = 0;  ///< Of a leaf, and of what stands above it: the mean below.
};

/// Trees whose values are added up; one array holds all nodes.
class Trees {
 public:
  void begin_tree() { roots_.push_back(static_cast<std::uint32_t>(nodes_.size())), depths_.push_back(0); }
  std::vector<Node>& nodes() { return nodes_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  void set_depth(std::uint32_t depth) { depths_.back() = depth; }
  std::size_t size() const { return roots_.size(); }
  std::uint32_t root(std::size_t tree) const { return roots_[tree]; }

  /// Adds each row's sum over all trees to `sums`. Shape: a sum a row.
  void add(const Table& rows, std::span<double> sums) const;
  /// Of one row. Shape: as many columns as the trees were grown on.
  double sum(std::span<const double> row) const;
  /// What one tree says of a row it was or could have been grown on.
  double value_in(std::size_t tree, const Bins& bins, std::size_t row) const;
  /// Adds to `shares`, for each column, by how much its splits moved the row's sum. Source: Saabas 2014.
  void explain(std::span<const double> row, std::span<double> shares) const;

  void write(ByteWriter& out) const;
  /// Errors: throws BadBytes for anything that would not end in a leaf or asks for a column beyond `columns`.
  static Trees read(ByteReader& in, std::size_t columns);

 private:
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> roots_;
  std::vector<std::uint32_t> depths_;
};

}  // namespace wattd::ml::trees
