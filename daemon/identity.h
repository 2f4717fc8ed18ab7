#pragma once
#include <string>

namespace wattd::daemon {

/// The gateway's id: made at the first start in this directory and kept for ever in its file `gateway-id`.
/// Errors: throws std::runtime_error when the file can be neither read nor written, or holds something else.
std::string gateway_id(const std::string& directory);

}  // namespace wattd::daemon
