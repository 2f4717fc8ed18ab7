#include "drivers/modbus/learnt.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace wattd::drivers::modbus {
namespace {

constexpr const char* kFirstLine = "wattd learnt 1";

}  // namespace

std::vector<LearntLine> parse_learnt(const std::string& text) {
  std::istringstream in(text);
  std::string line;
  if (!std::getline(in, line) || line != kFirstLine) return {};
  std::vector<LearntLine> lines;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string kind;
    words >> kind;
    if (kind == "meter") {
      LearntLine meter;
      std::int64_t since = 0;
      if (!(words >> meter.unit >> meter.profile >> since >> meter.is_strict >> meter.max_registers)) return {};
      constexpr std::int64_t kYear10000 = 253'402'300'800;
      if (since < 0 || since > kYear10000 || meter.max_registers < 0) return {};
      meter.since = from_unix_us(since * 1'000'000);
      lines.push_back(std::move(meter));
    } else if (kind == "hole" && !lines.empty()) {
      Hole hole;
      if (!(words >> hole.function >> hole.from >> hole.to) || hole.from < 0 || hole.to <= hole.from) return {};
      lines.back().holes.push_back(hole);
    } else {
      return {};
    }
  }
  return lines;
}

std::vector<LearntLine> load_learnt(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return file ? parse_learnt(text.str()) : std::vector<LearntLine>{};
}

Result<void> save_learnt(const std::string& path, const std::vector<LearntLine>& lines) {
  namespace fs = std::filesystem;
  std::string text = fmt::format("{}\n", kFirstLine);
  for (const auto& meter : lines) {
    text += fmt::format("meter {} {} {} {:d} {}\n", meter.unit, meter.profile, to_unix_us(meter.since) / 1'000'000,
                        meter.is_strict, meter.max_registers);
    for (const auto& hole : meter.holes) text += fmt::format("hole {} {} {}\n", hole.function, hole.from, hole.to);
  }
  const auto beside = path + ".new";
  std::error_code problem;
  fs::create_directories(fs::path(path).parent_path(), problem);
  std::ofstream file(beside, std::ios::trunc);
  file << text;
  file.close();
  if (!file) return fail(ErrorKind::permanent, beside + " cannot be written");
  fs::rename(beside, path, problem);
  if (problem) return fail(ErrorKind::permanent, fmt::format("{} cannot be replaced: {}", path, problem.message()));
  return {};
}

}  // namespace wattd::drivers::modbus
