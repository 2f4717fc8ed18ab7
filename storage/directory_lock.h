#pragma once
#include <string>

namespace wattd::storage {

/// Keeps a second gateway out of a data directory for as long as it lives, however the first one ends.
class DirectoryLock {
 public:
  /// Makes the directory if need be. Errors: throws std::runtime_error when another process holds it.
  explicit DirectoryLock(const std::string& directory);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int fd_;
};

}  // namespace wattd::storage
