#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "storage/database.h"

struct sqlite3_backup;

namespace wattd::storage {

/// A copy of the database that is made page by page while it is written to, and whole when it is done.
/// Threads: the writer's. Errors of every call: throws SqlError; what was copied so far is removed.
class Backup {
 public:
  /// Copies to `path`, by way of `path`.part. The connection has to be the writer's: what it changes meanwhile goes
  /// into the copy, too.
  Backup(Database& source, std::string path);
  ~Backup();
  Backup(const Backup&) = delete;
  Backup& operator=(const Backup&) = delete;

  /// Copies so many pages; true when all are there and the file is on the disk under its name.
  bool step(int pages);
  const std::string& path() const { return path_; }

 private:
  struct Finish {
    void operator()(sqlite3_backup* backup) const;
  };
  std::string path_;
  std::unique_ptr<Database> target_;
  std::unique_ptr<sqlite3_backup, Finish> backup_;
};

/// Whether a schedule made this file of the directory.
bool is_dated_backup(const std::filesystem::path& path, const std::string& directory);

/// Removes what a crash left of copies that were being made.
void remove_unfinished_backups(const std::string& directory);

/// Removes the oldest copies of a directory that a schedule made, so that at most `kept` are left, and no more than
/// `most_bytes`. Returns the bytes of those that are left.
std::int64_t prune_backups(const std::string& directory, std::size_t kept, std::int64_t most_bytes);

}  // namespace wattd::storage
