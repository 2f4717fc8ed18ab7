#pragma once
#include <string>
#include <string_view>

namespace wattd::sync {

/// Shape: lower case hexadecimal.
std::string sha256(std::string_view text);
std::string hmac_sha256(std::string_view secret, std::string_view text);

}  // namespace wattd::sync
