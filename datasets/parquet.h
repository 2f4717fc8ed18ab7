#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace wattd::datasets {

/// Microseconds since 1970 UTC.
struct Times {
  std::vector<std::int64_t> us;
};
struct Truths {
  std::vector<bool> set;
};

/// A column of a table.
/// Shape: a value a row; where `present` says that there is none, any.
struct Column {
  std::string name;
  std::variant<Times, std::vector<double>, std::vector<std::int64_t>, Truths, std::vector<std::string>> values;
  std::vector<bool> present = {};  ///< Empty: every row has a value.
};

/// The table as one Parquet file: a row group, PLAIN pages packed with Snappy; texts are UTF-8, times are UTC.
/// Source: apache/parquet-format 2.9, parquet.thrift and Encodings.md; docs/formats/parquet.md.
std::string to_parquet(std::span<const Column> columns, std::size_t rows,
                       const std::map<std::string, std::string>& metadata);

}  // namespace wattd::datasets
