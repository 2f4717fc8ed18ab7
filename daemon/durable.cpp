#include "daemon/durable.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <system_error>

namespace wattd::daemon {

void write_durably(const std::string& path, const std::string& text) {
  const auto temporary = path + ".new";
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  const bool written =
      fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  const int problem = errno;
  if (fd >= 0) close(fd);
  if (!written)
    throw std::runtime_error(fmt::format("{} cannot be written: {}", path, std::generic_category().message(problem)));
  std::filesystem::rename(temporary, path);
  const int directory = open(std::filesystem::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    fsync(directory);
    close(directory);
  }
}

}  // namespace wattd::daemon
