#include "cli/ml/times.h"

#include <fmt/format.h>

#include <cctype>
#include <stdexcept>

#include "cli/ml/frame.h"
#include "telemetry/csv.h"
#include "telemetry/time.h"

namespace wattd::cli {

std::vector<std::string> times_in(const std::string& path) try {
  TextLines lines(path);
  std::vector<std::string> times;
  std::string line;
  for (int number = 1; lines.next(line); ++number) {
    const auto cell = line.empty() ? std::string{} : std::string(split_csv(line).front());
    if (cell.empty()) continue;
    if (std::isdigit(static_cast<unsigned char>(cell.front()))) {
      times.push_back(cell);
    } else if (number > 1) {  // The first line may be a header.
      throw BadInput(fmt::format("{}:{}: {:?} is no time, expected 2026-12-25", path, number, cell));
    }
  }
  if (times.empty()) throw BadInput(path + " holds no time");
  return times;
} catch (const std::runtime_error& problem) {
  throw BadInput(problem.what());
}

std::optional<ml::LocalTime> local_time(const std::string& text) {
  const auto at = parse_iso8601(text.size() == 10 ? text + " 00:00:00" : text.size() == 16 ? text + ":00" : text);
  if (!at) return std::nullopt;
  return ml::LocalTime(std::chrono::floor<std::chrono::seconds>(at->time_since_epoch()));
}

ml::Holidays holidays_in(const std::string& path) {
  ml::Holidays holidays;
  if (path.empty()) return holidays;
  for (const auto& text : times_in(path)) {
    const auto at = local_time(text.substr(0, 10));
    if (!at) throw BadInput(fmt::format("{}: {} is no date, expected 2026-12-25", path, text));
    holidays.insert(std::chrono::floor<std::chrono::days>(*at));
  }
  return holidays;
}

}  // namespace wattd::cli
