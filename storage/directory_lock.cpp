#include "storage/directory_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <system_error>

namespace wattd::storage {

DirectoryLock::DirectoryLock(const std::string& directory) {
  std::filesystem::create_directories(directory);
  const auto path = (std::filesystem::path(directory) / "lock").string();
  fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd_ < 0) {
    throw std::runtime_error(fmt::format("{} cannot be opened: {}", path, std::generic_category().message(errno)));
  }
  if (flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  close(fd_);
  throw std::runtime_error(
      fmt::format("another wattd uses {}; stop it, or give this one a storage.directory of its own", directory));
}

DirectoryLock::~DirectoryLock() { close(fd_); }

}  // namespace wattd::storage
