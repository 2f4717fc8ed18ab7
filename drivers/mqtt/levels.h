#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/identity.h"

namespace wattd::drivers::mqtt {

/// A topic's levels; a topic that begins with / has an empty first one.
inline std::vector<std::string_view> levels_of(std::string_view topic) {
  std::vector<std::string_view> levels;
  while (true) {
    const auto end = topic.find('/');
    levels.push_back(topic.substr(0, end));
    if (end == std::string_view::npos) return levels;
    topic.remove_prefix(end + 1);
  }
}

/// A filter without the group of a shared subscription, $share/GROUP/.
inline std::string without_share(const std::string& filter) {
  constexpr std::string_view kShare = "$share/";
  if (!filter.starts_with(kShare)) return filter;
  const auto group_end = filter.find('/', kShare.size());
  return group_end == std::string::npos ? filter : filter.substr(group_end + 1);
}

/// A name as a device's id: without the levels that names elsewhere may hold. What was replaced is told by four digits,
/// so that `a/b` and `a-b` never become one meter. One that is too long is refused later.
inline std::string device_id_of(std::string_view name) {
  std::string id(name);
  std::ranges::replace_if(id, [](char c) { return c == '/' || c == '+' || c == '#'; }, '-');
  return id == name ? id : fmt::format("{}-{:04x}", id, fnv1a(name) & 0xFFFF);
}

}  // namespace wattd::drivers::mqtt
