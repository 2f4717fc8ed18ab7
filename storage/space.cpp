#include "storage/space.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <system_error>

namespace wattd::storage {

bool Ballast::keep() {
  if (bytes_ <= 0) return true;
  if (file_bytes(path_) >= bytes_) return true;
  if (free_bytes(std::filesystem::path(path_).parent_path()) < 4 * bytes_) return false;
  const int file = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return false;
  // Reserved, not written: it costs space but no wear.
  const bool reserved = ::posix_fallocate(file, 0, bytes_) == 0;
  ::close(file);
  if (!reserved) give_up();
  return reserved;
}

bool Ballast::give_up() { return ::unlink(path_.c_str()) == 0; }

std::int64_t free_bytes(const std::string& path) {
  struct statvfs info{};
  if (::statvfs(path.c_str(), &info) != 0) return 0;
  return static_cast<std::int64_t>(info.f_bavail) * static_cast<std::int64_t>(info.f_frsize);
}

Result<void> sync_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool done = file >= 0 && ::fsync(file) == 0;
  const auto why = std::generic_category().message(errno);
  if (file >= 0) ::close(file);
  if (!done) return fail(ErrorKind::retry, path + " cannot be synced: " + why);
  return {};
}

std::int64_t file_bytes(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? info.st_size : 0;
}

std::int64_t written_bytes() {
  std::ifstream io("/proc/self/io");
  std::string name;
  std::int64_t value = 0;
  std::int64_t written = 0;
  while (io >> name >> value) {
    if (name == "write_bytes:") written += value;
    if (name == "cancelled_write_bytes:") written -= value;
  }
  return written;
}

}  // namespace wattd::storage
