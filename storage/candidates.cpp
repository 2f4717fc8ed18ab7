#include "storage/candidates.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "storage/alerts.h"
#include "storage/catalogue.h"
#include "storage/dead_letters.h"
#include "storage/held.h"
#include "storage/resealing.h"
#include "storage/ring.h"
#include "storage/rules.h"
#include "storage/schema.h"

namespace wattd::storage {

std::vector<int> databases_in(const std::string& directory) {
  std::vector<int> numbers;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const auto name = entry.path().filename().string();
    if (name == "wattd.db") numbers.push_back(1);
    if (!name.starts_with("wattd-") || !name.ends_with(".db")) continue;
    const auto digits = std::string_view(name).substr(6, name.size() - 9);
    int number = 0;
    const auto read = std::from_chars(digits.begin(), digits.end(), number);
    if (read.ec == std::errc{} && read.ptr == digits.end() && number > 1) numbers.push_back(number);
  }
  std::ranges::sort(numbers);
  return numbers;
}

std::string database_path(const std::string& directory, int number) {
  return (std::filesystem::path(directory) / (number == 1 ? "wattd.db" : fmt::format("wattd-{}.db", number))).string();
}

std::string newest_database(const std::string& directory) {
  const auto numbers = std::filesystem::is_directory(directory) ? databases_in(directory) : std::vector<int>{};
  return database_path(directory, numbers.empty() ? 1 : numbers.back());
}

std::string damage_marker(const std::string& path) { return path + ".damaged"; }

// Small pages: what a commit of a second's readings writes is mostly its pages, not its bytes (docs/decisions/0008).
void configure_writer(Database& database) {
  database.execute("PRAGMA page_size=1024");
  database.execute("PRAGMA journal_mode=WAL");
  // FULL syncs the WAL at every commit: without it an acknowledged message could be lost to a power cut.
  database.execute("PRAGMA synchronous=FULL");
  database.execute("PRAGMA journal_size_limit=262144");
  // Pages that a round of compaction empties are not worth writing first.
  database.execute("PRAGMA cache_spill=OFF");
  // What is sealed anew must not stay readable in a page that is free now.
  if (database.vault().seals()) database.execute("PRAGMA secure_delete=ON");
}

void try_open(const std::string& path, const Vault& vault) {
  std::ifstream marker(damage_marker(path));
  if (std::string why; std::getline(marker, why)) throw SqlError(SQLITE_CORRUPT, why);
  // For the daemon alone from its first byte on: the log takes its mode from it.
  if (const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600); file >= 0) ::close(file);
  ::chmod(path.c_str(), 0600);
  Database database(path, Database::Mode::writer, vault);
  database.leave_log();
  require_known_schema(database);
  if (database.pragma("user_version") >= 2) {
    if (const auto missing = missing_key(database)) throw SqlError(SQLITE_NOTADB, *missing);
  }
  configure_writer(database);
  migrate(database);
  require_keys(database);
  const Ring ring(database);
  const DeadLetters letters(database);
  const Held held(database);
  Catalogue catalogue(database);
  (void)load_devices(database), (void)load_series(database), (void)load_rules(database);
  (void)load_latest_alerts(database), (void)load_announcements(database), (void)load_cursors(database);
  for (const auto* table : {"chunks", "rollup_pending", "corrections", "rollups_hourly", "rollups_daily"})
    Statement(database, fmt::format("SELECT 1 FROM {} LIMIT 1", table)).step();
}

}  // namespace wattd::storage
