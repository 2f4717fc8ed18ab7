#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace wattd {

/// The cells of a line, without the quotes around them; a quoted one may hold commas. Owns: views into the line.
std::vector<std::string_view> split_csv(std::string_view line);

/// The lines of a text file, plain or gzip, without their ends.
class TextLines {
 public:
  /// Errors: throws std::runtime_error when it cannot be opened.
  explicit TextLines(const std::string& path);
  ~TextLines();
  TextLines(const TextLines&) = delete;
  TextLines& operator=(const TextLines&) = delete;

  /// False at the end. Errors: throws std::runtime_error for a compressed file that is damaged.
  bool next(std::string& line);
  /// Of the last line, from 1 on.
  std::size_t number() const { return number_; }
  const std::string& path() const { return path_; }

 private:
  bool cut(std::string& line);
  bool take(std::string& line);

  std::string path_;
  std::string rest_;  ///< Lines that are still to be taken, and where the next begins.
  std::size_t taken_ = 0;
  void* handle_;
  std::size_t number_ = 0;
};

}  // namespace wattd
