// wattctl db: what a person does to a database beside the daemon, or while it stands still.
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "cli/commands.h"
#include "config/secret.h"
#include "storage/candidates.h"
#include "storage/care.h"
#include "storage/directory_lock.h"
#include "storage/resealing.h"
#include "storage/space.h"
#include "storage/state.h"

namespace wattd::cli {
namespace {

/// The keys that were named; none where none were.
Result<storage::Vault> vault_of(const DatabaseTarget& target) {
  if (target.keys.empty()) return storage::Vault{};
  try {
    auto vault = storage::Vault::parse(config::read_secret_file(target.keys));
    if (!vault) return fail(ErrorKind::permanent, target.keys + ": " + vault.error().message);
    return vault;
  } catch (const config::SecretError& problem) {
    return fail(ErrorKind::permanent, problem.what());
  }
}

/// Runs `work` while no daemon can use the directory.
template <class Work>
int alone(const std::string& directory, Work work) {
  try {
    const storage::DirectoryLock lock(directory);
    return work();
  } catch (const std::runtime_error& problem) {
    fmt::print(stderr, "wattctl: {}\n", problem.what());
    return 1;
  }
}

/// The store as the daemon left it: whose days its rollups have stands in it.
storage::Options options_of(const std::string& directory, const storage::Vault& vault) {
  storage::Options options{.directory = directory, .backups = 0, .vault = vault};
  // What is old and what is too much is the daemon's affair, whose configuration says so.
  options.raw_retention = options.hourly_retention = options.daily_retention = std::chrono::days{36'500};
  options.database_bytes = options.ring_bytes = options.dead_letter_bytes = INT64_C(1) << 50;
  options.ballast_bytes = 0;
  const auto path = storage::newest_database(directory);
  storage::Database database(path, storage::Database::Mode::reader, vault);
  if (database.pragma("user_version") < 2) return options;
  // The store would leave it and begin a new one beside it: here that helps nobody.
  if (const auto missing = storage::missing_key(database)) throw std::runtime_error(path + ": " + *missing);
  options.zone = storage::load_text(database, "zone", "UTC");
  return options;
}

}  // namespace

int check_database(Context& context, const DatabaseTarget& target) {
  const auto path = target.file.empty() ? storage::newest_database(target.directory) : target.file;
  const auto vault = vault_of(target);
  if (!vault) return complain(vault.error());
  const auto found = storage::inspect(path, *vault);
  if (!found) return complain(found.error());
  if (context.format == Format::json) {
    Json::Value json;
    json["database"] = path;
    json["schema"] = Json::Int64(found->schema);
    json["segments"] = Json::UInt64(found->segments);
    json["chunks"] = Json::UInt64(found->chunks);
    json["readings"] = Json::UInt64(found->readings);
    json["rollups"] = Json::UInt64(found->rollups);
    json["problems"] = Json::arrayValue;
    for (const auto& problem : found->problems) json["problems"].append(problem);
    print_json(json);
  } else {
    fmt::print("{}: schema {}, {} readings in {} segments and {} chunks, {} rollups\n", path, found->schema,
               found->readings, found->segments, found->chunks, found->rollups);
    for (const auto& problem : found->problems) fmt::print("  {}\n", problem);
    if (found->problems.empty()) fmt::print("  It is sound.\n");
    else
      fmt::print(
          "  Copy what is left with wattctl db salvage, or put a backup in its place with wattctl db restore.\n");
  }
  return found->problems.empty() ? 0 : 1;
}

int back_up_database(Context& context, const DatabaseTarget& target) {
  std::string query;
  if (!target.target.empty()) {
    std::error_code unknown;
    query = "?path=" + escaped(std::filesystem::absolute(target.target, unknown).string());
  }
  const auto begun = context.client.post("/api/v1/storage/backup" + query);
  if (!begun) return complain(begun.error());
  const auto path = (*begun)["data"]["path"].asString();
  while (true) {
    std::this_thread::sleep_for(std::chrono::milliseconds{200});
    const auto status = context.client.get("/api/v1/status");
    if (!status) return complain(status.error());
    const auto& stored = (*status)["data"]["storage"];
    if (stored["backup_running"].asBool()) continue;
    if (!stored["backup_problem"].isNull())
      return complain({ErrorKind::permanent, stored["backup_problem"].asString()});
    break;
  }
  if (context.format == Format::json) {
    Json::Value json;
    json["backup"] = path;
    print_json(json);
  } else {
    fmt::print("The database was copied to {}\n", path);
  }
  return 0;
}

int restore_database(Context&, const DatabaseTarget& target) {
  const auto vault = vault_of(target);
  if (!vault) return complain(vault.error());
  return alone(target.directory, [&] {
    const auto kept = storage::restore(target.file, storage::newest_database(target.directory), *vault);
    if (!kept) return complain(kept.error());
    fmt::print("{} is in its place; what stood there is {}\n", target.file, *kept);
    fmt::print("Readings that came after the copy are still in it: wattctl db merge {}\n", *kept);
    return 0;
  });
}

int salvage_database(Context&, const DatabaseTarget& target) {
  const auto vault = vault_of(target);
  if (!vault) return complain(vault.error());
  const auto done = storage::salvage(target.file, target.target, *vault);
  if (!done) return complain(done.error());
  fmt::print("{} rows were saved into {}; {} places could not be read\n", done->rows, target.target, done->lost);
  fmt::print("Look at it with wattctl db check {0}, and take it in with wattctl db merge {0}\n", target.target);
  return 0;
}

int merge_database(Context&, const DatabaseTarget& target) {
  const auto vault = vault_of(target);
  if (!vault) return complain(vault.error());
  return alone(target.directory, [&] {
    storage::Store store(options_of(target.directory, *vault));
    store.set_sinks({"every one"});  // nobody has been sent what is still in the ring
    const auto merged = storage::merge(target.file, store);
    if (!merged) return complain(merged.error());
    fmt::print("{} readings of {} were taken into {}\n", *merged, target.file, store.path());
    return 0;
  });
}

int vacuum_database(Context&, const DatabaseTarget& target) {
  return alone(target.directory, [&] {
    const auto path = storage::newest_database(target.directory);
    const auto before = std::filesystem::file_size(path);
    // It writes the whole of it twice, into a file of its own and into the log.
    if (storage::free_bytes(target.directory) < static_cast<std::int64_t>(before) * 9 / 4) {
      return complain({ErrorKind::permanent, fmt::format("{} has no room for {} MB; make some, or db backup to another "
                                                         "disk and db restore from there",
                                                         target.directory, (before * 9 / 4) >> 20)});
    }
    setenv("SQLITE_TMPDIR", target.directory.c_str(), 1);
    storage::Database database(path, storage::Database::Mode::writer);
    database.execute("PRAGMA temp_store=FILE");
    database.execute("VACUUM");
    (void)database.checkpoint(std::chrono::seconds{5});
    fmt::print("{}: {} bytes, {} before\n", path, std::filesystem::file_size(path), before);
    return 0;
  });
}

}  // namespace wattd::cli
