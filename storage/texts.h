#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wattd::storage {

/// Finds the enumerator whose to_string is `text` among the first `count`.
template <class Enum>
std::optional<Enum> named(std::string_view text, int count) {
  for (int i = 0; i < count; ++i) {
    if (to_string(static_cast<Enum>(i)) == text) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

/// The array columns of the catalogue hold JSON arrays of plain texts.
std::string to_json_array(const std::vector<std::string>& texts);
std::vector<std::string> from_json_array(std::string_view array);

}  // namespace wattd::storage
