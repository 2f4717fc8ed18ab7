#pragma once
#include <string>

namespace wattd::daemon {

/// Writes a file that is on the disk, whole, before it has its name; what had that name is there until then.
/// Errors: throws std::runtime_error.
void write_durably(const std::string& path, const std::string& text);

}  // namespace wattd::daemon
