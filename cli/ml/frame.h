#pragma once
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "ml-lite/features/calendar.h"
#include "ml-lite/features/recipe.h"

namespace wattd::cli {

/// What wattml was given cannot be used: a sentence that names the place and the remedy.
struct BadInput : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The value. Errors: throws BadInput, with the file before the message.
template <class T>
T usable(Result<T> result, const std::string& path) {
  if (!result) throw BadInput(path + ": " + result.error().message);
  return std::move(*result);
}

/// A file of rows under a header.
struct Frame {
  std::string path;
  std::vector<ml::Column> columns;
  std::size_t rows() const { return columns.empty() ? 0 : columns.front().numbers.size(); }
  const ml::Column* find(std::string_view name) const;
  /// Errors: throws BadInput when it is not there or (unless `text` is allowed) not made of numbers.
  const ml::Column& column(std::string_view name, bool text = false) const;
};

/// Reads CSV, plain or gzip; or, where the first line has spaces and no comma, NASA's C-MAPSS columns (unit, cycle,
/// setting1 to 3, s1 to s21). Errors: throws BadInput with file and line.
Frame read_frame(const std::string& path);

/// The rows in which no column of numbers but the ignored ones has an empty cell.
Frame complete_rows(const Frame& frame, std::span<const std::string> ignored);

/// A series: a value at each time, both as they stand in the file.
struct SeriesFile {
  std::string path;
  std::vector<std::string> stamps;
  std::vector<ml::LocalTime> times;
  std::vector<double> values;
};

/// The column `timestamp`, `date` or `ds`, and the value column: `wanted`, or `value`, `y`, or the only other one.
/// Errors: throws BadInput.
SeriesFile series_of(const Frame& frame, const std::string& wanted);

/// A file that is there as a whole or not at all; `-` is standard output. Devices and pipes are written to as they are.
class OutputFile {
 public:
  explicit OutputFile(std::string path) : path_(std::move(path)) {}
  std::string& text() { return text_; }
  void write(std::string_view bytes) { text_ += bytes; }
  /// Errors: throws BadInput when it cannot be written.
  void close();

 private:
  std::string path_;
  std::string text_;
};

}  // namespace wattd::cli
