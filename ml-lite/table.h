#pragma once
#include <cstddef>
#include <span>
#include <vector>

namespace wattd::ml {

/// Numbers, row after row; a missing one is NaN. It is what Eigen calls a row-major matrix, without its headers.
/// Shape: rows × columns.
class Table {
 public:
  Table() = default;
  Table(std::size_t rows, std::size_t columns) : values_(rows * columns), columns_(columns) {}
  explicit Table(std::size_t columns) : columns_(columns) {}

  std::size_t rows() const { return columns_ == 0 ? 0 : values_.size() / columns_; }
  std::size_t columns() const { return columns_; }
  std::span<const double> row(std::size_t index) const { return {values_.data() + index * columns_, columns_}; }
  std::span<double> row(std::size_t index) { return {values_.data() + index * columns_, columns_}; }
  double& at(std::size_t row, std::size_t column) { return values_[row * columns_ + column]; }
  double at(std::size_t row, std::size_t column) const { return values_[row * columns_ + column]; }
  /// Adds a row of columns() numbers.
  void append(std::span<const double> row) { values_.insert(values_.end(), row.begin(), row.end()); }
  std::span<const double> values() const { return values_; }

 private:
  std::vector<double> values_;
  std::size_t columns_ = 0;
};

}  // namespace wattd::ml
