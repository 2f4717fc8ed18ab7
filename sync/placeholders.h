#pragma once
#include <string>
#include <string_view>

namespace wattd::sync {

/// `with` in every place of a name such as `{gateway}`.
inline std::string filled(std::string text, std::string_view name, std::string_view with) {
  for (auto at = text.find(name); at != std::string::npos; at = text.find(name, at + with.size()))
    text.replace(at, name.size(), with);
  return text;
}

}  // namespace wattd::sync
