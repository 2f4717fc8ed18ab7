#include "cli/output.h"

#include <fmt/format.h>
#include <json/writer.h>

#include <algorithm>
#include <array>

namespace wattd::cli {
namespace {

/// How many columns of a terminal a UTF-8 text takes, near enough: bytes that begin a character.
std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](unsigned char c) { return (c & 0xC0) != 0x80; }));
}

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

}  // namespace

void Table::print() const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line += std::string(widths[i] - width(row[i]) + 2, ' ');
    }
    fmt::print("{}\n", line);
  }
}

void Table::print_csv() const {
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) fmt::print("{}{}", i == 0 ? "" : ",", quoted(row[i]));
    fmt::print("\n");
  }
}

void print_json(const Json::Value& value) {
  Json::StreamWriterBuilder settings;
  settings["indentation"] = "";
  settings["precision"] = 15;
  settings["emitUTF8"] = true;
  fmt::print("{}\n", Json::writeString(settings, value));
}

std::string cell(const Json::Value& value) {
  if (value.isNull()) return "-";
  if (value.isString()) return value.asString();
  if (value.isBool()) return value.asBool() ? "yes" : "no";
  if (value.isIntegral()) return fmt::format("{}", value.asInt64());
  if (value.isDouble()) return fmt::format("{:.15g}", value.asDouble());
  return "…";
}

std::string bytes_text(double bytes) {
  static constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < kUnits.size(); ++unit) bytes /= 1024;
  return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 1, kUnits[unit]);
}

}  // namespace wattd::cli
