#include "config/secret.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <system_error>

namespace wattd::config {

std::string expand_variables(std::string_view text) {
  std::string expanded;
  for (auto start = text.find("${"); start != std::string_view::npos; start = text.find("${")) {
    const auto end = text.find('}', start);
    if (end == std::string_view::npos) throw SecretError("a ${ is not closed by }");
    const std::string name(text.substr(start + 2, end - start - 2));
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) {
      throw SecretError(
          fmt::format("the variable {} is not set (systemd sets CREDENTIALS_DIRECTORY when the unit "
                      "has LoadCredential=)",
                      name));
    }
    expanded += text.substr(0, start);
    expanded += value;
    text.remove_prefix(end + 1);
  }
  return expanded += text;
}

std::string read_secret_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw SecretError(fmt::format("{}: {}", path, std::generic_category().message(errno)));
  std::string secret{std::istreambuf_iterator<char>(file), {}};
  if (secret.ends_with('\n')) secret.pop_back();
  if (secret.ends_with('\r')) secret.pop_back();
  if (secret.empty()) throw SecretError(path + " is empty");
  if (secret.size() > 65536) throw SecretError(path + " is larger than 64 KiB");
  return secret;
}

}  // namespace wattd::config
