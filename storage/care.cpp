// Looking through a whole database, and putting a copy in its place. Salvage and merge have files of their own.
#include "storage/care.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <map>
#include <set>

#include "storage/chunk.h"
#include "storage/guarded.h"
#include "storage/history.h"
#include "storage/resealing.h"
#include "storage/schema.h"
#include "storage/segment.h"
#include "storage/space.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;

void inspect_segments(Database& database, Inspection& found) {
  Statement row(database, "SELECT seq, readings, body FROM arrivals ORDER BY seq");
  while (row.step()) {
    ++found.segments;
    found.readings += static_cast<std::uint64_t>(row.integer(1));
    const auto body = database.vault().open({Vault::Kind::segment, row.integer(0)}, row.blob(2));
    if (const auto blocks = decode_segment(body); !blocks)
      found.problems.push_back(fmt::format("segment {}: {}", row.integer(0), blocks.error().message));
  }
}

/// Whether everything that is sealed is sealed with a key that is here.
void inspect_seals(Database& database, Inspection& found) {
  constexpr std::array<std::pair<const char*, const char*>, 8> kPlaces{{{"held", "body"},
                                                                        {"dead_letters", "payload"},
                                                                        {"rollups_hourly", "sealed"},
                                                                        {"rollups_hourly", "summary"},
                                                                        {"rollups_hourly", "counter"},
                                                                        {"rollups_daily", "sealed"},
                                                                        {"rollups_daily", "summary"},
                                                                        {"corrections", "was"}}};
  for (const auto& [table, column] : kPlaces) {
    Statement there(database, fmt::format("SELECT 1 FROM pragma_table_info('{}') WHERE name='{}'", table, column));
    if (!there.step()) continue;  // a column of a later schema
    std::map<Vault::Id, int> missing;
    Statement row(database, fmt::format("SELECT {} FROM {} WHERE typeof({})='blob'", column, table, column));
    while (row.step()) {
      const auto key = sealed_by(row.blob(0));
      if (key && !database.vault().has(*key)) ++missing[*key];
    }
    for (const auto& [key, count] : missing)
      found.problems.push_back(
          fmt::format("{}: {} rows are sealed with key {:08x}, which is not given", table, count, key));
  }
}

void inspect_chunks(Database& database, Inspection& found) {
  Statement row(database, fmt::format("SELECT {} FROM chunks ORDER BY chunk_id", kChunkColumns));
  std::set<std::uint32_t> devices;
  Statement known(database, "SELECT device_key FROM devices");
  while (known.step()) devices.insert(static_cast<std::uint32_t>(known.integer(0)));
  std::uint32_t device = 0;
  std::int64_t until = INT64_MIN;
  while (row.step()) {
    ++found.chunks;
    const auto stored = chunk_from(database.vault(), row);
    const auto head = decode_chunk_head(stored.head);
    const auto block = decode_chunk(stored.head, stored.body);
    if (!head || !block) {
      found.problems.push_back(
          fmt::format("chunk {}: {}", row.integer(0), (head ? block.error() : head.error()).message));
      continue;
    }
    found.readings += head->rows;
    if (device_of_chunk(row.integer(0)) != device) until = INT64_MIN;
    device = device_of_chunk(row.integer(0));
    if (!devices.contains(device))
      found.problems.push_back(
          fmt::format("chunk {} is of device {}, which is not in the catalogue", row.integer(0), device));
    if (head->from_us <= until)
      found.problems.push_back(fmt::format("chunk {} begins before the one before it ends", row.integer(0)));
    if (head->to_us != row.integer(1))
      found.problems.push_back(fmt::format("chunk {} ends elsewhere than its row says", row.integer(0)));
    until = head->to_us;
  }
}

}  // namespace

Result<Inspection> inspect(const std::string& path, const Vault& vault) {
  if (!std::filesystem::exists(path)) return fail(ErrorKind::permanent, path + " does not exist");
  return guarded([&] {
    Database database(path, Database::Mode::reader, vault);
    Inspection found;
    found.schema = database.pragma("user_version");
    Statement pages(database, "PRAGMA integrity_check");
    while (pages.step()) {
      if (pages.text(0) != "ok") found.problems.push_back(pages.text(0));
    }
    if (found.schema < 2 || found.schema > newest_schema()) {
      found.problems.push_back(fmt::format("the schema is {}; this program reads {}", found.schema, newest_schema()));
      return found;
    }
    if (const auto missing = missing_key(database)) {
      found.problems.push_back(*missing);
      return found;
    }
    inspect_seals(database, found);
    inspect_segments(database, found);
    inspect_chunks(database, found);
    Statement rollups(database, "SELECT (SELECT count(*) FROM rollups_hourly) + (SELECT count(*) FROM rollups_daily)");
    if (rollups.step()) found.rollups = static_cast<std::uint64_t>(rollups.integer(0));
    return found;
  });
}

Result<std::string> restore(const std::string& backup, const std::string& database, const Vault& vault) {
  const auto sound = inspect(backup, vault);
  if (!sound) return std::unexpected(sound.error());
  if (!sound->problems.empty())
    return fail(ErrorKind::permanent,
                fmt::format("{} is not sound: {}; nothing was changed", backup, sound->problems.front()));
  namespace fs = std::filesystem;
  std::error_code failed;
  fs::copy_file(backup, database + ".part", fs::copy_options::overwrite_existing, failed);
  if (failed) return fail(ErrorKind::permanent, fmt::format("{} cannot be copied: {}", backup, failed.message()));
  if (const auto synced = sync_file(database + ".part"); !synced) return std::unexpected(synced.error());
  // With an empty log there is nothing to be torn apart when both are moved.
  if (fs::exists(database)) (void)guarded([&] { return Database(database, Database::Mode::writer).checkpoint(5s); });
  auto kept = database + ".before-restore";
  for (int number = 2; fs::exists(kept); ++number) kept = fmt::format("{}.before-restore-{}", database, number);
  // The log belongs to the file: it goes where the file goes, under its name.
  for (const auto* suffix : {"-wal", "-shm", ".damaged", ""}) {
    if (fs::exists(database + suffix)) fs::rename(database + suffix, kept + suffix, failed);
    if (failed)
      return fail(ErrorKind::permanent, fmt::format("{}{} cannot be moved: {}", database, suffix, failed.message()));
  }
  fs::permissions(database + ".part", fs::perms::owner_read | fs::perms::owner_write, failed);
  fs::rename(database + ".part", database, failed);
  if (failed)
    return fail(ErrorKind::permanent, fmt::format("{} cannot be put in place: {}", database, failed.message()));
  if (const auto synced = sync_file(fs::path(database).parent_path().string()); !synced)
    return std::unexpected(synced.error());
  return kept;
}

}  // namespace wattd::storage
