#include "ml-lite/anomaly/tails.h"

#include <algorithm>
#include <cmath>

#include "ml-lite/model_file.h"
#include "ml-lite/training_rows.h"

namespace wattd::ml {

Result<Tails> Tails::fit(const Table& rows) {
  if (rows.rows() < 2 || rows.columns() == 0) return fail(ErrorKind::permanent, "tails need at least two rows");
  Tails tails;
  std::vector<float> values;
  for (std::size_t column = 0; column < rows.columns(); ++column) {
    values.clear();
    for (std::size_t row = 0; row < rows.rows(); ++row) {
      if (std::isfinite(rows.at(row, column))) values.push_back(static_cast<float>(rows.at(row, column)));
    }
    if (values.empty()) values.push_back(0);
    std::ranges::sort(values);
    if (values.size() > kMostValues) {
      // The first and the last stay: they are where the tails end.
      for (std::size_t i = 0; i < kMostValues; ++i) values[i] = values[i * (values.size() - 1) / (kMostValues - 1)];
      values.resize(kMostValues);
    }
    tails.sorted_.push_back(values);
  }
  return tails;
}

double Tails::score_column(std::size_t column, double value) const {
  const auto& sorted = sorted_[column];
  const auto [first, last] = std::ranges::equal_range(sorted, static_cast<float>(value));
  const auto n = static_cast<double>(sorted.size());
  // Half a value beyond the ends: nothing is impossible.
  const double below = std::max(0.5, static_cast<double>(last - sorted.begin())) / n;
  const double above = std::max(0.5, static_cast<double>(sorted.end() - first)) / n;
  return std::max(-std::log(below), -std::log(above));
}

double Tails::score(std::span<const double> row) const {
  double sum = 0;
  for (std::size_t column = 0; column < sorted_.size(); ++column) {
    if (std::isfinite(row[column])) sum += score_column(column, row[column]);
  }
  return sum;
}

void Tails::write(ByteWriter& out) const {
  out.varint(sorted_.size());
  for (const auto& values : sorted_) write_floats(out, values);
}

Tails Tails::read(ByteReader& in) {
  Tails tails;
  tails.sorted_.resize(in.count(5));
  if (tails.sorted_.empty() || tails.sorted_.size() > kMostColumns) throw BadBytes("an impossible number of columns");
  for (auto& values : tails.sorted_) {
    values = read_floats(in);
    if (values.empty() || !std::ranges::is_sorted(values)) throw BadBytes("a column is not sorted");
  }
  return tails;
}

}  // namespace wattd::ml
