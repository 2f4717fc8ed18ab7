#include "storage/texts.h"

namespace wattd::storage {

std::string to_json_array(const std::vector<std::string>& texts) {
  std::string array = "[";
  for (const auto& text : texts) {
    if (array.size() > 1) array += ',';
    array += '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') array += '\\';
      array += c;
    }
    array += '"';
  }
  return array + "]";
}

std::vector<std::string> from_json_array(std::string_view array) {
  std::vector<std::string> texts;
  bool inside = false;
  for (std::size_t i = 0; i < array.size(); ++i) {
    const char c = array[i];
    if (c == '"') {
      if (!inside) texts.emplace_back();
      inside = !inside;
    } else if (inside) {
      texts.back() += c == '\\' && i + 1 < array.size() ? array[++i] : c;
    }
  }
  return texts;
}

}  // namespace wattd::storage
