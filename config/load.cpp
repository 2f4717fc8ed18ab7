#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/node.h"

namespace wattd::config {
namespace {

toml::table parse_text(std::string_view text, const std::string& name) {
  try {
    return toml::parse(text, name);
  } catch (const toml::parse_error& problem) {
    throw ConfigError(fmt::format("{}:{}:{}: {}", name, problem.source().begin.line, problem.source().begin.column,
                                  problem.description()));
  }
}

toml::table parse_file(const std::string& path) {
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
    throw ConfigError(fmt::format("{}: is a directory; expected a file", path));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw ConfigError(fmt::format("{}: cannot be read: {}", path, std::generic_category().message(errno)));
  std::ostringstream text;
  text << file.rdbuf();
  return parse_text(text.str(), path);
}

/// Moves the nodes of `from` into `into`: tables key by key, arrays of tables appended, the rest replaced.
void merge(toml::table& into, toml::table&& from) {
  for (auto&& [key, node] : from) {
    auto* existing = into.get(key);
    if (existing != nullptr && existing->is_table() && node.is_table()) {
      merge(*existing->as_table(), std::move(*node.as_table()));
    } else if (existing != nullptr && existing->is_array_of_tables() && node.is_array_of_tables()) {
      for (auto&& element : *node.as_array()) existing->as_array()->push_back(std::move(*element.as_table()));
    } else {
      into.insert_or_assign(key, std::move(node));
    }
  }
}

Table as_root(toml::table&& table) {
  auto document = std::make_shared<const toml::table>(std::move(table));
  const auto* root = document.get();
  return Table(std::make_shared<Table::Node>(Table::Node{std::move(document), root}), "");
}

}  // namespace

Table parse(std::string_view text, const std::string& name) { return as_root(parse_text(text, name)); }

Table load_file(const std::string& path) { return as_root(parse_file(path)); }

Table load(const std::string& path, const std::vector<std::string>& drop_in_directories) {
  auto whole = path.empty() ? toml::table() : parse_file(path);
  for (const auto& directory : drop_in_directories) {
    std::vector<std::string> drop_ins;
    std::error_code missing;
    for (const auto& entry : std::filesystem::directory_iterator(directory, missing)) {
      if (entry.path().extension() == ".toml") drop_ins.push_back(entry.path().string());
    }
    std::ranges::sort(drop_ins);
    for (const auto& drop_in : drop_ins) merge(whole, parse_file(drop_in));
  }
  return as_root(std::move(whole));
}

}  // namespace wattd::config
