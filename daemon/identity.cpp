#include "daemon/identity.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "daemon/durable.h"
#include "telemetry/identity.h"

namespace wattd::daemon {
std::string gateway_id(const std::string& directory) {
  const auto path = (std::filesystem::path(directory) / "gateway-id").string();
  std::filesystem::create_directories(directory);
  if (!std::filesystem::exists(path)) write_durably(path, random_uuid() + "\n");
  std::ifstream file(path);
  std::string id;
  if (!(file >> id) || id.size() != 36) {
    throw std::runtime_error(
        fmt::format("{} holds no gateway id; put the old one back, or remove the file to become a "
                    "new gateway upstream",
                    path));
  }
  return id;
}

}  // namespace wattd::daemon
