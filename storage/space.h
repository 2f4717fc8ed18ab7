#pragma once
#include <cstdint>
#include <string>

#include "telemetry/error.h"

namespace wattd::storage {

/// A file of nothing, kept so that it can be given up when the disk is full: deleting from a database takes space, too.
/// Threads: the writer's.
class Ballast {
 public:
  Ballast(std::string path, std::int64_t bytes) : path_(std::move(path)), bytes_(bytes) {}
  /// Makes the file where it is missing and the disk has four times its size to spare. True when it stands.
  bool keep();
  /// Gives its space back. False when there was none.
  bool give_up();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::int64_t bytes_;
};

/// Bytes that a user may still write to the file system of `path`.
std::int64_t free_bytes(const std::string& path);
/// Brings a file, or the names in a directory, to the disk. Errors: retry.
Result<void> sync_file(const std::string& path);
/// 0 for a file that is not there.
std::int64_t file_bytes(const std::string& path);

/// Bytes that this process has caused to be written to storage since it started.
/// Source: proc(5), /proc/self/io, write_bytes less cancelled_write_bytes.
std::int64_t written_bytes();

}  // namespace wattd::storage
