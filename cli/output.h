#pragma once
#include <json/value.h>

#include <string>
#include <vector>

namespace wattd::cli {

/// How a person or a script wants it.
enum class Format { table, csv, json };

/// Rows under a header, columns as wide as their widest cell.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.size() == 1; }
  void print() const;
  void print_csv() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// One line of JSON on standard output.
void print_json(const Json::Value& value);
/// A cell: texts as they are, null as a dash, numbers with as many digits as they need.
std::string cell(const Json::Value& value);
/// 1.5 MiB and the like.
std::string bytes_text(double bytes);

}  // namespace wattd::cli
