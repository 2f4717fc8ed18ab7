#include "storage/care.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <set>

#include "storage/catalogue.h"
#include "storage/chunk.h"
#include "storage/guarded.h"
#include "storage/reader.h"
#include "storage/resealing.h"
#include "storage/schema.h"
#include "storage/segment.h"
#include "storage/space.h"
#include "storage/state.h"
#include "storage/texts.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;

// In the order in which they refer to each other.
constexpr std::array kTables{"tenants",
                             "buildings",
                             "users",
                             "devices",
                             "device_versions",
                             "series",
                             "segments",
                             "ring",
                             "chunks",
                             "corrections",
                             "state",
                             "vault",
                             "boots",
                             "held",
                             "rollups_hourly",
                             "rollups_daily",
                             "rollup_pending",
                             "dead_letters",
                             "cursors",
                             "rules",
                             "alerts",
                             "alert_configs",
                             "outbox",
                             "notification_logs",
                             "mqtt_acl",
                             "analytics_jobs",
                             "export_checkpoints",
                             "daily_summaries"};
constexpr std::int64_t kMostGuesses = 1'000'000;
constexpr std::size_t kReadingsAtOnce = 5000;

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
  constexpr std::array<std::pair<const char*, const char*>, 6> kPlaces{{{"held", "body"},
                                                                        {"dead_letters", "payload"},
                                                                        {"rollups_hourly", "sealed"},
                                                                        {"rollups_hourly", "counter"},
                                                                        {"rollups_daily", "sealed"},
                                                                        {"corrections", "was"}}};
  for (const auto& [table, column] : kPlaces) {
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
    if (head->from_us <= until)
      found.problems.push_back(fmt::format("chunk {} begins before the one before it ends", row.integer(0)));
    if (head->to_us != row.integer(1))
      found.problems.push_back(fmt::format("chunk {} ends elsewhere than its row says", row.integer(0)));
    until = head->to_us;
  }
}

std::vector<std::string> columns_of(Database& database, const std::string& table) {
  Statement row(database, fmt::format("SELECT name FROM pragma_table_info('{}')", table));
  std::vector<std::string> names;
  while (row.step()) names.push_back(row.text(0));
  return names;
}

void copy_row(const Statement& from, std::size_t columns, Statement& to) {
  for (int i = 0; i < static_cast<int>(columns); ++i) to.bind_copy(from, i);
  to.run();
}

/// The rows of a table that can be found: from the front as far as it goes, then from the back, then by an index.
std::set<std::int64_t> rows_of(Database& damaged, const std::string& table) {
  std::set<std::int64_t> found;
  std::vector<std::string> ways{"ORDER BY rowid", "ORDER BY rowid DESC"};
  if (table == "chunks") ways.emplace_back("INDEXED BY ix_chunks_last_seq ORDER BY last_seq");
  for (const auto& way : ways) {
    try {
      Statement row(damaged, fmt::format("SELECT rowid FROM {} {}", table, way));
      while (row.step()) found.insert(row.integer(0));
      return found;
    } catch (const SqlError&) {
      // What lies behind the damage is looked for in another way.
    }
  }
  // Numbers that follow each other can be guessed.
  if (table != "chunks" && found.size() > 1 && *found.rbegin() - *found.begin() < kMostGuesses) {
    for (auto id = *found.begin(); id < *found.rbegin(); ++id) found.insert(id);
  }
  return found;
}

/// Whether a row holds what it should; sealed rows are believed where their key is not given.
bool is_sound(const Vault& vault, const Statement& row, const std::string& table,
              const std::vector<std::string>& columns) {
  const auto place = [&](const char* name) {
    return static_cast<int>(std::ranges::find(columns, name) - columns.begin());
  };
  const bool is_chunk = table == "chunks";
  if (!is_chunk && table != "ring" && table != "segments") return true;
  const auto key = sealed_by(row.blob(place(is_chunk ? "head" : "body")));
  if (key && !vault.has(*key)) return true;
  if (!is_chunk) {
    const auto body = vault.open({Vault::Kind::segment, row.integer(place("seq"))}, row.blob(place("body")));
    return decode_segment(body).has_value();
  }
  const auto id = row.integer(place("chunk_id"));
  const auto to_us = row.integer(place("to_at"));
  const auto head = vault.open({Vault::Kind::head, id, to_us}, row.blob(place("head")));
  if (!key) return decode_chunk(head, row.blob(place("body"))).has_value();
  return decode_chunk(head, vault.open({Vault::Kind::body, id, to_us}, row.blob(place("body")))).has_value();
}

/// Copies what one statement finds, until it meets damage.
void copy_until_damage(Statement& from, std::size_t columns, Statement& to, Salvaged& salvaged) {
  try {
    while (from.step()) {
      copy_row(from, columns, to);
      ++salvaged.rows;
    }
  } catch (const SqlError&) {
    to.reset();
    ++salvaged.lost;
  }
  from.reset();
}

void salvage_table(Database& damaged, Database& target, const std::string& table, Salvaged& salvaged) {
  std::vector<std::string> columns;
  const auto there = columns_of(damaged, table);
  for (const auto& name : columns_of(target, table)) {
    if (std::ranges::find(there, name) != there.end()) columns.push_back(name);
  }
  if (columns.empty()) return;
  const auto list = fmt::format("{}", fmt::join(columns, ", "));
  std::string marks = "?";
  for (std::size_t i = 1; i < columns.size(); ++i) marks += ",?";
  Statement put(target, fmt::format("INSERT OR REPLACE INTO {} ({}) VALUES ({})", table, list, marks));
  Statement keyed(target, fmt::format("SELECT sql LIKE '%WITHOUT ROWID%' FROM sqlite_master WHERE name='{}'", table));
  if (!keyed.step() || keyed.integer(0) == 0) {
    // A row whose own pages are damaged must not hide the next one.
    Statement row(damaged, fmt::format("SELECT {} FROM {} WHERE rowid=?", list, table));
    for (const auto id : rows_of(damaged, table)) {
      try {
        if (row.bind(id).step()) {
          const bool sound = is_sound(damaged.vault(), row, table, columns);
          if (sound) copy_row(row, columns.size(), put);
          ++(sound ? salvaged.rows : salvaged.lost);
        }
      } catch (const SqlError&) {
        put.reset();
        ++salvaged.lost;
      }
      row.reset();
    }
    return;
  }
  Statement key(target, fmt::format("SELECT name FROM pragma_table_info('{}') WHERE pk>0 ORDER BY pk", table));
  std::vector<std::string> forward;
  std::vector<std::string> backward;
  while (key.step()) forward.push_back(key.text(0)), backward.push_back(key.text(0) + " DESC");
  for (const auto& order : {forward, backward}) {
    const auto lost = salvaged.lost;
    Statement row(damaged, fmt::format("SELECT {} FROM {} ORDER BY {}", list, table, fmt::join(order, ", ")));
    copy_until_damage(row, columns.size(), put, salvaged);
    if (salvaged.lost == lost) return;
  }
}

/// Takes out what stands here already: it was said or corrected since, the other database is the older one.
/// Shape: the readings are of one device, in order of time.
void leave_out_known(Reader& mine, std::vector<Reading>& readings) {
  if (readings.empty()) return;
  auto reading = readings.begin();
  const TimeRange range{readings.front().at, readings.back().at + std::chrono::microseconds{1}};
  (void)mine.visit(readings.front().device_id, {}, range, [&](const Reading& here) {
    while (reading != readings.end() && reading->at < here.at) ++reading;
    if (reading == readings.end()) return false;
    if (reading->at == here.at)
      std::erase_if(reading->fields, [&](const Field& field) { return here.find(field.name) != nullptr; });
    return true;
  });
  std::erase_if(readings, [](const Reading& one) { return one.fields.empty(); });
}

/// Rollups of the other database, where this one has none: of hours whose readings are gone already.
void merge_rollups(Database& other, Store& store) {
  Database mine(store.path(), Database::Mode::writer, store.vault());
  if (load_text(mine, "zone") != load_text(other, "zone", "UTC")) {
    log::warning("its rollups are of another zone's hours and are left out; those of its readings are computed anew");
    return;
  }
  Transaction transaction(mine);
  Statement twin(mine, "SELECT series_id FROM series JOIN devices USING (device_key) WHERE device_id=? AND field=?");
  for (const auto table : {RollupRows::Table::hourly, RollupRows::Table::daily}) {
    RollupRows from(other, table);
    RollupRows to(mine, table);
    Statement series(other, "SELECT series_id, device_id, field FROM series JOIN devices USING (device_key)");
    while (series.step()) {
      twin.bind(series.text(1)).bind(series.text(2));
      const auto id = twin.step() ? std::optional(static_cast<std::uint32_t>(twin.integer(0))) : std::nullopt;
      twin.reset();
      if (!id) continue;
      for (const auto& rollup : from.range(static_cast<std::uint32_t>(series.integer(0)), kAlways)) {
        if (!to.find(*id, rollup.start)) to.put({*id, rollup, false, {}});
      }
    }
  }
  transaction.commit();
}

/// Gives a block of the other database the numbers that its device and series have here, where they are made if they
/// are new.
void renumber(Database& other, Catalogue& catalogue, Block& block) {
  Statement device(other, "SELECT device_id FROM devices WHERE device_key=?");
  device.bind(std::int64_t{block.device_key}).step();
  const auto id = device.text(0);
  Statement field(other, "SELECT field FROM series WHERE series_id=?");
  block.device_key = catalogue.key_of(id);
  for (auto& column : block.columns) {
    field.bind(std::int64_t{column.series_id}).step();
    column.series_id = catalogue.series_of(block.device_key, id, field.text(0), block.columns.size());
    field.reset();
  }
}

/// Held readings of the other database, with what is known of their boots.
void merge_held(Database& other, Store& store) {
  Database mine(store.path(), Database::Mode::writer, store.vault());
  Transaction transaction(mine);
  Statement boot(other, "SELECT boot_key, boot_id, assumed_at, began_at, estimated FROM boots ORDER BY boot_key");
  Statement add(mine, "INSERT OR IGNORE INTO boots (boot_id, assumed_at, began_at, estimated) VALUES (?,?,?,?)");
  Statement twin(mine, "SELECT boot_key FROM boots WHERE boot_id=?");
  Statement row(other, "SELECT until_us, readings, body FROM held WHERE boot_key=? ORDER BY id");
  Statement known(mine, "SELECT 1 FROM held WHERE boot_key=? AND until_us=? AND readings=?");
  Statement put(mine, "INSERT INTO held (boot_key, until_us, readings, body) VALUES (?,?,?,?)");
  Catalogue catalogue(mine);
  while (boot.step()) {
    const auto theirs = boot.integer(0);
    for (int i = 1; i < 5; ++i) add.bind_copy(boot, i);
    add.run();
    twin.bind(boot.text(1)).step();
    const auto ours = twin.integer(0);
    twin.reset();
    row.bind(theirs);
    while (row.step()) {
      const bool is_there = known.bind(ours).bind(row.integer(0)).bind(row.integer(1)).step();
      known.reset();
      if (is_there) continue;
      auto blocks = decode_segment(other.vault().open({Vault::Kind::held, theirs, row.integer(0)}, row.blob(2)));
      if (!blocks) continue;
      for (auto& block : *blocks) renumber(other, catalogue, block);
      std::ranges::sort(*blocks, {}, &Block::device_key);
      const auto body = mine.vault().seal({Vault::Kind::held, ours, row.integer(0)}, encode_segment(*blocks));
      put.bind(ours).bind(row.integer(0)).bind(row.integer(1)).bind(std::span(body)).run();
    }
    row.reset();
  }
  transaction.commit();
}

/// Dead letters of the other database that are not here.
Group letters_to_merge(Reader& theirs, Reader& mine) {
  Group group;
  const auto here = mine.dead_letters(1'000'000, INT64_MAX).value_or(std::vector<StoredDeadLetter>{});
  const auto key = [](const StoredDeadLetter& one) {
    const auto& message = one.letter.message;
    return std::tuple(message.received, message.topic, message.payload);
  };
  std::set<decltype(key(here.front()))> known;
  for (const auto& one : here) known.insert(key(one));
  auto there = theirs.dead_letters(1'000'000, INT64_MAX).value_or(std::vector<StoredDeadLetter>{});
  for (auto one = there.rbegin(); one != there.rend(); ++one) {
    if (one->replayed_at || known.contains(key(*one))) continue;
    one->letter.reason = rejection_from(one->reason);
    one->letter.message.received_quality = Quality::good;
    group.dead_letters.push_back(std::move(one->letter));
  }
  return group;
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

Result<Salvaged> salvage(const std::string& damaged, const std::string& target, const Vault& vault) {
  if (std::filesystem::exists(target)) return fail(ErrorKind::permanent, target + " exists already; give another name");
  auto done = guarded([&] {
    Database from(damaged, Database::Mode::reader, vault);
    require_known_schema(from);
    (void)columns_of(from, "devices");  // says at once when nothing is there to be read
    Database to(target, Database::Mode::writer, vault);
    to.execute("PRAGMA foreign_keys=OFF");
    migrate(to);
    Salvaged salvaged;
    Transaction transaction(to);
    for (const auto* table : kTables) {
      try {
        salvage_table(from, to, table, salvaged);
      } catch (const SqlError&) {
        ++salvaged.lost;
      }
    }
    // What was saved of the ring counts; what the file says of itself may not be true any more.
    to.execute(
        "INSERT OR REPLACE INTO state SELECT 'last_seq', max(ifnull((SELECT max(seq) FROM arrivals), 0), "
        "ifnull((SELECT max(last_seq) FROM chunks), 0))");
    transaction.commit();
    return salvaged;
  });
  if (!done) return fail(ErrorKind::permanent, "nothing can be read of it: " + done.error().message);
  return done;
}

Result<std::uint64_t> merge(const std::string& other, Store& store) {
  std::uint64_t merged = 0;
  std::optional<Error> failed;
  const auto read = guarded([&] {
    Database database(other, Database::Mode::reader, store.vault());
    require_known_schema(database);
    if (database.pragma("user_version") < newest_schema())
      throw SqlError(SQLITE_MISMATCH, "it has an older schema; start wattd on it once, in a directory of its own");
    if (const auto missing = missing_key(database)) throw SqlError(SQLITE_AUTH, *missing);
    Reader reader(other, store.vault());
    Reader mine(store.path(), store.vault());
    Group group;
    const auto known = store.devices();
    const auto now = [] { return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now()); };
    const auto commit = [&] {
      leave_out_known(mine, group.readings);
      if (const auto done = store.commit(group); !done) failed = done.error();
      merged += group.readings.size();
      group = {};
      for (auto more = store.maintain(now()); more && *more;) more = store.maintain(now());
      return !failed;
    };
    for (const auto& device : load_devices(database)) {
      if (std::ranges::find(known, device.id, &Device::id) == known.end()) group.devices.push_back(device);
      const auto visited = reader.visit(device.id, {}, kAlways, [&](Reading reading) {
        group.readings.push_back(std::move(reading));
        return group.readings.size() < kReadingsAtOnce || commit();
      });
      if (!visited && !failed) failed = visited.error();
      if (failed || !commit()) return false;
    }
    merge_rollups(database, store);
    merge_held(database, store);
    group = letters_to_merge(reader, mine);
    return group.dead_letters.empty() || store.commit(group).has_value();
  });
  if (failed) return std::unexpected(*failed);
  if (!read) return fail(read.error().kind, other + ": " + read.error().message);
  return merged;
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
