#include "drivers/mqtt/subscription.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <mosquitto.h>

#include <algorithm>
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
      table.fail("topic", fmt::format("is {:?}; expected whole levels such as {{device}}, without + and #", topic));
    if (is_name && !names.emplace(level.substr(1, level.size() - 2)).second)
      table.fail("topic", fmt::format("is {:?}; expected each name once", topic));
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
      table.fail(key, fmt::format("is {:?}; expected names of the topic's levels in braces: {}", text,
                                  fmt::join(names, ", ")));
  }
}

std::string pointer(const config::Table& table, std::string_view key, std::string otherwise) {
  auto text = table.text(key, std::move(otherwise));
  if (!text.empty() && text.front() != '/')
    table.fail(key, fmt::format("is {:?}; expected a JSON pointer such as /ENERGY/Power", text));
  return text;
}

Subscription parse_mapping(const config::Table& table) {
  Mapping mapping;
  std::set<std::string> names;
  mapping.topic = table.text("topic");
  auto filter = filter_of(table, mapping.topic, names);
  mapping.device = table.text("device", "{device}");
  check_names(table, "device", mapping.device, names);
  mapping.timestamp = pointer(table, "timestamp", "");
  for (const auto& row : table.tables("fields")) {
    MappedField field{.pointer = pointer(row, "pointer", ""), .name = row.text("name")};
    check_names(row, "name", field.name, names);
    if (field.name.empty()) row.fail("name", "expected the field's name");
    field.scale = row.number("scale", 1);
    field.offset = row.number("offset", 0);
    if (field.scale == 0) row.fail("scale", "expected another number than 0");
    row.reject_unknown_keys();
    mapping.fields.push_back(std::move(field));
  }
  if (mapping.fields.empty()) table.fail("fields", "expected at least one { pointer, name }");
  table.reject_unknown_keys();
  return {std::move(filter), "mapping", std::move(mapping)};
}

}  // namespace

bool matches(const std::string& filter, const std::string& topic) {
  bool result = false;
  mosquitto_topic_matches_sub(without_share(filter).c_str(), topic.c_str(), &result);
  return result;
}

std::vector<Subscription> parse_subscriptions(const config::Table& table) {
  std::vector<Subscription> all;
  // What is mapped by hand comes first: it may say more of a topic than its publisher does.
  for (const auto& mapping : table.tables("mappings")) all.push_back(parse_mapping(mapping));
  for (const auto& name : table.texts("publishers")) {
    const auto known = std::ranges::find(publishers(), name, &Publisher::name);
    if (known == publishers().end()) {
      std::vector<std::string_view> names;
      for (const auto& publisher : publishers()) names.push_back(publisher.name);
      table.fail("publishers", fmt::format("{:?} is not known; expected one of {}", name, fmt::join(names, ", ")));
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
