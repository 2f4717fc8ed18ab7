#include "storage/backup.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <vector>

#include "storage/space.h"

namespace wattd::storage {
namespace {

void sync(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  ::fsync(file);
  ::close(file);
}

}  // namespace

void Backup::Finish::operator()(sqlite3_backup* backup) const { sqlite3_backup_finish(backup); }

Backup::Backup(Database& source, std::string path) : path_(std::move(path)) {
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path());
  std::filesystem::remove(path_ + ".part");
  target_ = std::make_unique<Database>(path_ + ".part", Database::Mode::writer);
  ::chmod((path_ + ".part").c_str(), 0600);
  backup_.reset(sqlite3_backup_init(target_->handle(), "main", source.handle(), "main"));
  if (!backup_) throw SqlError(sqlite3_errcode(target_->handle()), std::string("backup to ") + path_ + " cannot begin");
}

Backup::~Backup() {
  backup_.reset();
  target_.reset();
  std::error_code gone;
  for (const auto* suffix : {".part", ".part-wal", ".part-shm", ".part-journal"})
    std::filesystem::remove(path_ + suffix, gone);
}

bool Backup::step(int pages) {
  const int code = sqlite3_backup_step(backup_.get(), pages);
  if (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED) return false;
  if (code != SQLITE_DONE) throw SqlError(code, "backup to " + path_ + ": " + sqlite3_errstr(code));
  backup_.reset();
  target_->execute("PRAGMA journal_mode=DELETE");
  target_.reset();
  sync(path_ + ".part");
  std::filesystem::rename(path_ + ".part", path_);
  sync(std::filesystem::path(path_).parent_path());
  return true;
}

bool is_dated_backup(const std::filesystem::path& path, const std::string& directory) {
  static const std::regex kDated(R"(wattd-\d{4}-\d\d-\d\d\.db)");
  return path.parent_path() == directory && std::regex_match(path.filename().string(), kDated);
}

void remove_unfinished_backups(const std::string& directory) {
  std::error_code missing;
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(directory, missing)) {
    const auto name = entry.path().filename().string();
    if (name.starts_with("wattd-") && name.find(".db.part") != std::string::npos) found.push_back(entry.path());
  }
  for (const auto& path : found) std::filesystem::remove(path, missing);
}

std::int64_t prune_backups(const std::string& directory, std::size_t kept, std::int64_t most_bytes) {
  std::vector<std::filesystem::path> found;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(directory, missing)) {
    // Databases may stand in the same directory: only what is named by a date is a copy.
    if (is_dated_backup(entry.path(), directory)) found.push_back(entry.path());
  }
  std::ranges::sort(found);
  std::int64_t bytes = 0;
  for (const auto& path : found) bytes += file_bytes(path);
  for (auto oldest = found.begin(); oldest != found.end(); ++oldest) {
    if (static_cast<std::size_t>(found.end() - oldest) <= kept && bytes <= most_bytes) break;
    bytes -= file_bytes(*oldest);
    std::filesystem::remove(*oldest, missing);
  }
  return bytes;
}

}  // namespace wattd::storage
