#include "config/table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <sstream>

#include "config/node.h"
#include "config/secret.h"

namespace wattd::config {
namespace {

std::string position(const toml::source_region& source) {
  const auto file = source.path ? std::string(*source.path) : std::string("(defaults)");
  if (!source.begin) return file;
  return fmt::format("{}:{}:{}", file, source.begin.line, source.begin.column);
}

std::string shown(const toml::node& node) {
  std::ostringstream text;
  node.visit([&](const auto& value) {
    if constexpr (toml::is_table<decltype(value)>) text << "a table";
    else if constexpr (toml::is_array<decltype(value)>) text << "an array";
    else text << value;
  });
  return text.str();
}

struct Unit {
  std::string_view name;
  double factor;
};

/// Splits "1.5 MiB" and scales it; nullopt when it is not a number with one of the units.
template <std::size_t N>
std::optional<double> with_unit(std::string_view text, const std::array<Unit, N>& units) {
  double number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{}) return std::nullopt;
  auto rest = text.substr(end - text.data());
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  for (const auto& [name, factor] : units) {
    if (rest == name) return number * factor;
  }
  return std::nullopt;
}

constexpr std::array<Unit, 6> kDurations{
    {{"us", 1}, {"ms", 1e3}, {"s", 1e6}, {"min", 60e6}, {"h", 3600e6}, {"d", 86400e6}}};
constexpr std::array<Unit, 7> kSizes{
    {{"B", 1}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}}};

std::string shown_duration(std::chrono::microseconds value) {
  for (auto unit = kDurations.rbegin(); unit != kDurations.rend(); ++unit) {
    const double count = value.count() / unit->factor;
    if (count == std::floor(count) && count != 0) return fmt::format("{}{}", count, unit->name);
  }
  return "0s";
}

}  // namespace

Table::Table(std::shared_ptr<const Node> node, std::string path)
    : node_(std::move(node)), path_(std::move(path)), asked_(std::make_shared<std::set<std::string, std::less<>>>()) {}

bool Table::has(std::string_view key) const {
  asked_->emplace(key);
  return node_->table->contains(key);
}

std::string Table::full_key(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

void Table::fail(std::string_view key, std::string_view complaint) const {
  const auto* node = node_->table->get(key);
  const auto& where = node != nullptr && node->source().begin ? node->source() : node_->table->source();
  const auto found = node != nullptr ? fmt::format(" is {}", shown(*node)) : std::string{};
  throw ConfigError(fmt::format("{}: {}{}; {}", position(where), full_key(key), found, complaint));
}

void Table::fail_choice(std::string_view key, const std::string&, const std::vector<std::string_view>& names) const {
  fail(key, fmt::format("expected one of {}", fmt::join(names, ", ")));
}

std::string Table::origin() const {
  const auto& where = node_->table->source();
  if (!where.path) return {};
  return fmt::format("{}:{}", *where.path, where.begin.line);
}

std::string Table::text(std::string_view key) const {
  if (!has(key)) fail(key, "is required: a text");
  if (const auto value = (*node_->table)[key].value_exact<std::string>()) return *value;
  fail(key, "expected a text in quotes");
}

std::string Table::text(std::string_view key, std::string fallback) const {
  return has(key) ? text(key) : std::move(fallback);
}

std::int64_t Table::integer(std::string_view key, std::int64_t min, std::int64_t max) const {
  if (!has(key)) fail(key, fmt::format("is required: an integer from {} to {}", min, max));
  const auto value = (*node_->table)[key].value_exact<std::int64_t>();
  if (value && *value >= min && *value <= max) return *value;
  fail(key, fmt::format("expected an integer from {} to {}", min, max));
}

std::int64_t Table::integer(std::string_view key, std::int64_t min, std::int64_t max, std::int64_t fallback) const {
  return has(key) ? integer(key, min, max) : fallback;
}

std::int64_t Table::one_of(std::string_view key, std::initializer_list<std::int64_t> allowed,
                           std::int64_t fallback) const {
  if (!has(key)) return fallback;
  const auto value = (*node_->table)[key].value_exact<std::int64_t>();
  if (value && std::ranges::find(allowed, *value) != allowed.end()) return *value;
  fail(key, fmt::format("expected one of {}", fmt::join(allowed, ", ")));
}

double Table::number(std::string_view key) const {
  if (!has(key)) fail(key, "is required: a number");
  const auto value = (*node_->table)[key].value<double>();
  if (value && std::isfinite(*value)) return *value;
  fail(key, "expected a number");
}

double Table::number(std::string_view key, double fallback) const { return has(key) ? number(key) : fallback; }

bool Table::boolean(std::string_view key, bool fallback) const {
  if (!has(key)) return fallback;
  if (const auto value = (*node_->table)[key].value_exact<bool>()) return *value;
  fail(key, "expected true or false");
}

std::chrono::microseconds Table::duration(std::string_view key, std::chrono::microseconds min,
                                          std::chrono::microseconds max, std::chrono::microseconds fallback) const {
  if (!has(key)) return fallback;
  const auto range = fmt::format("a duration from {} to {}, as in \"500ms\", \"5s\" or \"15min\"", shown_duration(min),
                                 shown_duration(max));
  const auto value = (*node_->table)[key].value_exact<std::string>();
  const auto us = value ? with_unit(*value, kDurations) : std::nullopt;
  if (!us || *us < min.count() || *us > max.count()) fail(key, "expected " + range);
  return std::chrono::microseconds{std::llround(*us)};
}

std::int64_t Table::bytes(std::string_view key, std::int64_t min, std::int64_t max, std::int64_t fallback) const {
  if (!has(key)) return fallback;
  const auto value = (*node_->table)[key].value_exact<std::string>();
  const auto size = value ? with_unit(*value, kSizes) : std::nullopt;
  if (size && *size >= min && *size <= max) return std::llround(*size);
  fail(key, fmt::format("expected a size from {} to {} bytes, as in \"64MiB\" or \"2GB\"", min, max));
}

std::vector<std::string> Table::texts(std::string_view key) const {
  std::vector<std::string> list;
  if (!has(key)) return list;
  const auto* array = (*node_->table)[key].as_array();
  if (array == nullptr) fail(key, "expected an array of texts");
  for (const auto& element : *array) {
    const auto value = element.value_exact<std::string>();
    if (!value) fail(key, "expected an array of texts");
    list.push_back(*value);
  }
  return list;
}

std::vector<std::int64_t> Table::integers(std::string_view key) const {
  std::vector<std::int64_t> list;
  if (!has(key)) return list;
  const auto node = (*node_->table)[key];
  if (const auto one = node.value_exact<std::int64_t>()) return {*one};
  const auto* array = node.as_array();
  if (array == nullptr) fail(key, "expected an integer or an array of integers");
  for (const auto& element : *array) {
    const auto value = element.value_exact<std::int64_t>();
    if (!value) fail(key, "expected an integer or an array of integers");
    list.push_back(*value);
  }
  return list;
}

std::string Table::secret(std::string_view key) const {
  if (!has(key)) return {};
  const auto* inner = (*node_->table)[key].as_table();
  try {
    if (inner != nullptr) {
      const auto source = table(key);
      const auto path = source.text("file");
      source.reject_unknown_keys();
      return read_secret_file(expand_variables(path));
    }
    const auto value = text(key);
    return value.find("${") == std::string::npos ? value : read_secret_file(expand_variables(value));
  } catch (const SecretError& problem) {
    // Points at the key without printing its value, which may be the secret itself.
    throw ConfigError(fmt::format("{}: {} cannot be read: {}", position(node_->table->get(key)->source()),
                                  full_key(key), problem.what()));
  }
}

std::string Table::readable_file(std::string_view key) const {
  const auto path = text(key, "");
  struct stat status{};
  if (path.empty()) return path;
  if (access(path.c_str(), R_OK) != 0) {
    fail(key, fmt::format("expected a file that can be read: {}", std::generic_category().message(errno)));
  }
  if (stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) fail(key, "expected a file, not a directory");
  return path;
}

Table Table::table(std::string_view key) const {
  if (!has(key)) return Table(std::make_shared<Node>(Node{node_->document, &empty_table()}), full_key(key));
  const auto* inner = (*node_->table)[key].as_table();
  if (inner == nullptr) fail(key, "expected a table");
  return Table(std::make_shared<Node>(Node{node_->document, inner}), full_key(key));
}

std::vector<Table> Table::tables(std::string_view key) const {
  std::vector<Table> list;
  if (!has(key)) return list;
  const auto* array = (*node_->table)[key].as_array();
  if (array == nullptr) fail(key, fmt::format("expected an array of tables, written [[{}]]", full_key(key)));
  for (std::size_t i = 0; i < array->size(); ++i) {
    const auto* inner = (*array)[i].as_table();
    if (inner == nullptr) fail(key, "expected an array of tables");
    list.emplace_back(std::make_shared<Node>(Node{node_->document, inner}), fmt::format("{}[{}]", full_key(key), i));
  }
  return list;
}

std::vector<std::pair<std::string, Table>> Table::named_tables() const {
  std::vector<std::pair<std::string, Table>> list;
  for (const auto& [key, node] : *node_->table) {
    if (node.is_table()) list.emplace_back(key.str(), table(key.str()));
  }
  return list;
}

void Table::reject_unknown_keys() const {
  for (const auto& [key, node] : *node_->table) {
    if (asked_->contains(key.str())) continue;
    throw ConfigError(fmt::format("{}: {} is not a key known here; known are {}", position(key.source()),
                                  full_key(key.str()), fmt::join(*asked_, ", ")));
  }
}

}  // namespace wattd::config
