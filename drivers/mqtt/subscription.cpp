#include "drivers/mqtt/subscription.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <mosquitto.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "drivers/mqtt/dialect.h"
#include "drivers/mqtt/levels.h"

namespace wattd::drivers::mqtt {
namespace {

/// A mapping's topic as a filter: every {name} is any level.
std::string filter_of(const config::Table& table, const std::string& topic, std::set<std::string>& names) {
  std::vector<std::string> levels;
  for (const auto level : levels_of(topic)) {
    const bool is_name = level.size() > 2 && level.front() == '{' && level.back() == '}';
    if (!is_name && level.find_first_of("{}+#") != std::string_view::npos)
      table.fail("topic", "expected whole levels such as {device}, without + and #");
    if (is_name && !names.emplace(level.substr(1, level.size() - 2)).second)
      table.fail("topic", "expected each name once");
    levels.push_back(is_name ? "+" : std::string(level));
  }
  return fmt::format("{}", fmt::join(levels, "/"));
}

void check_names(const config::Table& table, std::string_view key, const std::string& text,
                 const std::set<std::string>& names) {
  for (std::size_t at = 0; (at = text.find('{', at)) != std::string::npos; ++at) {
    const auto end = text.find('}', at);
    const auto name = text.substr(at + 1, end == std::string::npos ? end : end - at - 1);
    if (end == std::string::npos || !names.contains(name))
      table.fail(key, names.empty()
                          ? std::string("expected none of the topic's levels in braces: it names none")
                          : fmt::format("expected names of the topic's levels in braces: {}", fmt::join(names, ", ")));
  }
}

std::string pointer(const config::Table& table, std::string_view key, std::string otherwise) {
  auto text = table.text(key, std::move(otherwise));
  bool valid = text.empty() || text.front() == '/';
  for (std::size_t at = 0; (at = text.find('~', at)) != std::string::npos; ++at)
    valid = valid && at + 1 < text.size() && (text[at + 1] == '0' || text[at + 1] == '1');
  if (!valid) table.fail(key, "expected a JSON pointer such as /ENERGY/Power, with ~0 for ~ and ~1 for /");
  return text;
}

Subscription parse_mapping(const config::Table& table) {
  Mapping mapping;
  std::set<std::string> names;
  mapping.topic = table.text("topic");
  auto filter = filter_of(table, mapping.topic, names);
  if (mapping.topic.empty() || mosquitto_sub_topic_check(filter.c_str()) != MOSQ_ERR_SUCCESS)
    table.fail("topic", "expected a topic such as plant/{device}/em");
  if (!table.has("device") && !names.contains("device"))
    table.fail("device", "is required, with names of the topic's levels, where none of these is {device}");
  mapping.device = table.text("device", "{device}");
  if (mapping.device.find_first_not_of(' ') == std::string::npos) table.fail("device", "expected an id");
  check_names(table, "device", mapping.device, names);
  mapping.timestamp = pointer(table, "timestamp", "");
  for (const auto& row : table.tables("fields")) {
    MappedField field{.pointer = pointer(row, "pointer", ""), .name = row.text("name")};
    check_names(row, "name", field.name, names);
    if (field.name.empty()) row.fail("name", "expected the field's name");
    if (field.name == "timestamp" || field.name == "device_id")
      row.fail("name", "expected another name: this one is the reading's own");
    if (std::ranges::find(mapping.fields, field.name, &MappedField::name) != mapping.fields.end())
      row.fail("name", "expected a name that no other field has");
    field.scale = row.number("scale", 1);
    field.offset = row.number("offset", 0);
    if (field.scale == 0) row.fail("scale", "expected another number than 0");
    row.reject_unknown_keys();
    mapping.fields.push_back(std::move(field));
  }
  if (mapping.fields.empty()) table.fail("fields", "expected at least one { pointer, name }");
  const bool is_plain = std::ranges::any_of(mapping.fields, [](const auto& field) { return field.pointer.empty(); });
  if (is_plain && (mapping.fields.size() > 1 || !mapping.timestamp.empty()))
    table.fail("fields", "a field without pointer is the whole payload: it stands by itself, without a timestamp");
  table.reject_unknown_keys();
  return {std::move(filter), "mapping", std::move(mapping)};
}

}  // namespace

bool matches(const std::string& filter, const std::string& topic) {
  bool result = false;
  mosquitto_topic_matches_sub(without_share(filter).c_str(), topic.c_str(), &result);
  return result;
}

std::vector<std::string> load_filters(const std::string& path) {
  std::vector<std::string> filters;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) filters.push_back(line);
  }
  return filters;
}

Result<void> save_filters(const std::string& path, const std::vector<std::string>& filters) {
  namespace fs = std::filesystem;
  const auto beside = path + ".new";
  std::error_code problem;
  fs::create_directories(fs::path(path).parent_path(), problem);
  std::ofstream file(beside, std::ios::trunc);
  for (const auto& filter : filters) file << filter << '\n';
  file.close();
  if (!file) return fail(ErrorKind::permanent, beside + " cannot be written");
  fs::rename(beside, path, problem);
  if (problem) return fail(ErrorKind::permanent, fmt::format("{} cannot be replaced: {}", path, problem.message()));
  return {};
}

std::vector<Subscription> parse_subscriptions(const config::Table& table) {
  std::vector<Subscription> all;
  // What is mapped by hand comes first: it may say more of a topic than its publisher does.
  for (const auto& row : table.tables("mappings")) {
    auto mapped = parse_mapping(row);
    if (std::ranges::find(all, mapped.filter, &Subscription::filter) != all.end())
      row.fail("topic", "expected a topic that no other mapping has");
    all.push_back(std::move(mapped));
  }
  for (const auto& name : table.texts("publishers")) {
    const auto known = std::ranges::find(publishers(), name, &Publisher::name);
    if (known == publishers().end()) {
      std::vector<std::string_view> names;
      for (const auto& publisher : publishers()) names.push_back(publisher.name);
      table.fail("publishers", fmt::format("expected some of {}; {:?} is not known", fmt::join(names, ", "), name));
    }
    for (const auto filter : known->filters) all.push_back({std::string(filter), name, {}});
  }
  std::vector<std::string> topics{"devices/+/telemetry"};
  if (table.has("topics")) topics = table.texts("topics");
  else if (!all.empty()) topics.clear();
  for (const auto& topic : topics) {
    if (mosquitto_sub_topic_check(topic.c_str()) != MOSQ_ERR_SUCCESS)
      table.fail("topics", "\"" + topic + "\" is not a topic filter: + and # stand for whole levels, # only last");
    all.push_back({topic, "plain", {}});
  }
  if (all.empty()) table.fail("topics", "expected at least one topic");
  return all;
}

}  // namespace wattd::drivers::mqtt
