#include "telemetry/csv.h"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <stdexcept>

namespace wattd {
namespace {

gzFile file(void* handle) { return static_cast<gzFile>(handle); }

}  // namespace

std::vector<std::string_view> split_csv(std::string_view line) {
  std::vector<std::string_view> cells;
  while (true) {
    std::size_t comma = 0;
    if (line.starts_with('"')) {
      const auto quote = line.find("\",", 1);
      comma = quote == std::string_view::npos ? quote : quote + 1;
      const auto cell = line.substr(0, comma);
      cells.push_back(cell.size() >= 2 && cell.ends_with('"') ? cell.substr(1, cell.size() - 2) : cell);
    } else {
      comma = line.find(',');
      cells.push_back(line.substr(0, comma));
    }
    if (comma == std::string_view::npos) return cells;
    line.remove_prefix(comma + 1);
  }
}

TextLines::TextLines(const std::string& path) : path_(path), handle_(gzopen(path.c_str(), "rb")) {
  if (handle_ == nullptr) throw std::runtime_error(fmt::format("{} cannot be opened", path));
}

TextLines::~TextLines() { gzclose(file(handle_)); }

bool TextLines::next(std::string& line) {
  if (!rest_.empty()) return take(line);
  std::array<char, 4096> part;
  line.clear();
  while (gzgets(file(handle_), part.data(), part.size()) != nullptr) {
    line += part.data();
    if (!line.ends_with('\n')) continue;
    line.pop_back();
    if (line.ends_with('\r')) line.pop_back();
    return cut(line);
  }
  int problem = Z_OK;
  const char* const why = gzerror(file(handle_), &problem);
  if (problem != Z_OK && problem != Z_STREAM_END) throw std::runtime_error(fmt::format("{}: {}", path_, why));
  return !line.empty() && cut(line);
}

/// What was written on an old Mac ends its lines with a carriage return alone.
bool TextLines::cut(std::string& line) {
  if (line.find('\r') == std::string::npos) return ++number_, true;
  rest_ = std::move(line);
  return take(line);
}

bool TextLines::take(std::string& line) {
  const auto end = rest_.find('\r', taken_);
  line = rest_.substr(taken_, end - taken_);
  taken_ = end == std::string::npos || end + 1 >= rest_.size() ? 0 : end + 1;
  if (taken_ == 0) rest_.clear();
  return ++number_, true;
}

}  // namespace wattd
