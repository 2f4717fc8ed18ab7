#pragma once
#include <stdexcept>
#include <string>
#include <string_view>

namespace wattd::config {

struct SecretError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Replaces every `${NAME}` by that variable of the environment.
/// Errors: throws SecretError when one is not set or the brace is not closed.
std::string expand_variables(std::string_view text);

/// The file's contents without its last line break.
/// Errors: throws SecretError when it cannot be read, is empty, or is larger than 64 KiB.
std::string read_secret_file(const std::string& path);

}  // namespace wattd::config
