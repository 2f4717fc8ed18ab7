#include "cli/ml/frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>

#include "telemetry/csv.h"
#include "telemetry/time.h"

namespace wattd::cli {
namespace {

std::vector<std::string> cmapss_names() {
  std::vector<std::string> names{"unit", "cycle", "setting1", "setting2", "setting3"};
  for (int sensor = 1; sensor <= 21; ++sensor) names.push_back(fmt::format("s{}", sensor));
  return names;
}

std::vector<std::string_view> split_spaces(std::string_view line) {
  std::vector<std::string_view> cells;
  while (true) {
    const auto first = line.find_first_not_of(" \t");
    if (first == std::string_view::npos) return cells;
    line.remove_prefix(first);
    const auto end = line.find_first_of(" \t");
    cells.push_back(line.substr(0, end));
    if (end == std::string_view::npos) return cells;
    line.remove_prefix(end);
  }
}

bool number_of(std::string_view cell, double& number) {
  while (cell.starts_with(' ')) cell.remove_prefix(1);
  while (cell.ends_with(' ')) cell.remove_suffix(1);
  if (cell.starts_with('+')) cell.remove_prefix(1);
  if (cell == "null" || cell == "N/A") return number = std::nan(""), true;
  if (cell.empty() || cell == "NA" || cell == "nan" || cell == "NaN") return number = std::nan(""), true;
  if (cell == "True" || cell == "true") return number = 1, true;
  if (cell == "False" || cell == "false") return number = 0, true;
  const auto [end, problem] = std::from_chars(cell.data(), cell.data() + cell.size(), number);
  if (!std::isfinite(number)) number = std::nan("");  // Infinite is no measurement.
  return problem == std::errc{} && end == cell.data() + cell.size();
}

/// Names the first cell that is no number.
[[noreturn]] void refuse_text(const Frame& frame, const ml::Column& column) {
  double number = 0;
  std::size_t row = 0;
  while (row + 1 < column.texts.size() && number_of(column.texts[row], number)) ++row;
  throw BadInput(fmt::format("{}:{}: column {} holds {:?}, expected a number", frame.path, row + 2, column.name,
                             column.texts[row]));
}

/// Collects rows; a column turns into texts with its first cell that is no number.
class Reader {
 public:
  explicit Reader(Frame& frame) : frame_(frame) {}

  void row(std::span<const std::string_view> cells) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      auto& column = frame_.columns[i];
      double number = std::nan("");
      const bool is_number = number_of(cells[i], number);
      if (!is_number && !column.is_text()) {
        for (const double before : column.numbers)
          column.texts.push_back(std::isnan(before) ? "" : fmt::format("{}", before));
        column.texts.emplace_back(cells[i]);
      } else if (column.is_text()) {
        column.texts.emplace_back(cells[i]);
      }
      column.numbers.push_back(is_number ? number : std::nan(""));
    }
  }

 private:
  Frame& frame_;
};

}  // namespace

const ml::Column* Frame::find(std::string_view name) const {
  const auto found = std::ranges::find(columns, name, &ml::Column::name);
  return found == columns.end() ? nullptr : &*found;
}

const ml::Column& Frame::column(std::string_view name, bool text) const {
  const auto* found = find(name);
  if (found == nullptr) {
    std::string names;
    for (const auto& column : columns) names += (names.empty() ? "" : ", ") + column.name;
    throw BadInput(fmt::format("{}: there is no column {}; it has {}", path, name, names));
  }
  if (found->is_text() && !text) refuse_text(*this, *found);
  return *found;
}

Frame read_frame(const std::string& path) try {
  TextLines lines(path);
  Frame frame{.path = path, .columns = {}};
  std::string line;
  if (!lines.next(line)) throw BadInput(fmt::format("{} is empty", path));
  if (line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
  const bool spaced =
      line.find(',') == std::string::npos && line.find(' ') != std::string::npos && split_spaces(line).size() == 26;
  if (spaced) {
    for (auto& name : cmapss_names()) frame.columns.push_back({.name = std::move(name)});
  } else {
    for (const auto name : split_csv(line)) frame.columns.push_back({.name = std::string(name)});
  }
  Reader reader(frame);
  if (spaced) reader.row(split_spaces(line));
  while (lines.next(line)) {
    if (line.empty()) continue;
    const auto cells = spaced ? split_spaces(line) : split_csv(line);
    if (cells.size() != frame.columns.size())
      throw BadInput(
          fmt::format("{}:{}: {} cells, expected {}", path, lines.number(), cells.size(), frame.columns.size()));
    reader.row(cells);
  }
  if (frame.rows() == 0) throw BadInput(fmt::format("{} has no rows", path));
  return frame;
} catch (const BadInput&) {
  throw;
} catch (const std::runtime_error& problem) {
  throw BadInput(problem.what());
}

Frame complete_rows(const Frame& frame, std::span<const std::string> ignored) {
  Frame complete{.path = frame.path, .columns = {}};
  std::vector<bool> whole(frame.rows(), true);
  for (const auto& column : frame.columns) {
    complete.columns.push_back({.name = column.name, .numbers = {}, .texts = {}});
    if (column.is_text() || std::ranges::find(ignored, column.name) != ignored.end()) continue;
    for (std::size_t row = 0; row < whole.size(); ++row) whole[row] = whole[row] && !std::isnan(column.numbers[row]);
  }
  for (std::size_t i = 0; i < frame.columns.size(); ++i) {
    for (std::size_t row = 0; row < whole.size(); ++row) {
      if (!whole[row]) continue;
      complete.columns[i].numbers.push_back(frame.columns[i].numbers[row]);
      if (frame.columns[i].is_text()) complete.columns[i].texts.push_back(frame.columns[i].texts[row]);
    }
  }
  return complete;
}

SeriesFile series_of(const Frame& frame, const std::string& wanted) {
  const ml::Column *time = nullptr, *value = nullptr;
  for (const char* name : {"timestamp", "date", "ds", "time", "datetime"}) {
    if (time == nullptr) time = frame.find(name);
  }
  if (time == nullptr)
    throw BadInput(fmt::format("{}: there is no column timestamp (date and ds are taken too)", frame.path));
  if (!wanted.empty()) {
    value = &frame.column(wanted);
  } else {
    for (const char* name : {"value", "y", "count"}) value = value == nullptr ? frame.find(name) : value;
    if (value == nullptr && frame.columns.size() == 2)
      value = &frame.columns[frame.columns[0].name == time->name ? 1 : 0];
    if (value == nullptr)
      throw BadInput(fmt::format("{}: there is no column value; name one with --value", frame.path));
    if (value->is_text()) refuse_text(frame, *value);
  }
  SeriesFile series{.path = frame.path, .stamps = time->texts, .times = {}, .values = value->numbers};
  for (std::size_t row = 0; row < frame.rows(); ++row) {
    std::string stamp = time->is_text() ? time->texts[row] : "";
    const auto at = parse_iso8601(stamp.size() == 10   ? stamp + " 00:00:00"
                                  : stamp.size() == 16 ? stamp + ":00"
                                                       : stamp);
    if (!at)
      throw BadInput(
          fmt::format("{}:{}: {:?} is no timestamp, expected 2026-02-07 11:26:00", frame.path, row + 2, stamp));
    series.times.emplace_back(std::chrono::floor<std::chrono::seconds>(at->time_since_epoch()));
  }
  return series;
}

void OutputFile::close() {
  if (path_ == "-") return void(std::fwrite(text_.data(), 1, text_.size(), stdout));
  // A device or a pipe is written to and never replaced; and a link stays one.
  std::error_code unknown;
  std::filesystem::path target = path_;
  for (int links = 0; links < 8 && std::filesystem::is_symlink(target, unknown); ++links)
    target = target.parent_path() / std::filesystem::read_symlink(target, unknown);
  const bool replaced = !std::filesystem::exists(target, unknown) || std::filesystem::is_regular_file(target, unknown);
  const std::string written_to = replaced ? target.string() + ".partial" : target.string();
  std::FILE* const file = std::fopen(written_to.c_str(), "wb");
  if (file == nullptr) throw BadInput(fmt::format("{} cannot be written: is its directory there?", path_));
  const bool written = std::fwrite(text_.data(), 1, text_.size(), file) == text_.size();
  const bool closed = std::fclose(file) == 0;
  if (closed && written && (!replaced || std::rename(written_to.c_str(), target.c_str()) == 0)) return;
  if (replaced) std::remove(written_to.c_str());
  throw BadInput(fmt::format("{} cannot be written: is the disk full?", path_));
}

}  // namespace wattd::cli
