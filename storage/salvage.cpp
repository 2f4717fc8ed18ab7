// What can still be read of a damaged database.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "storage/care.h"
#include "storage/chunk.h"
#include "storage/guarded.h"
#include "storage/schema.h"
#include "storage/segment.h"

namespace wattd::storage {
namespace {

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
                             "dead_letter_days",
                             "cursors",
                             "rules",
                             "rule_conditions",
                             "rule_recipients",
                             "alerts",
                             "alert_configs",
                             "outbox",
                             "notification_logs",
                             "silences",
                             "audit",
                             "mqtt_acl",
                             "analytics_jobs",
                             "export_checkpoints",
                             "daily_summaries"};
constexpr std::int64_t kMostGuesses = 1'000'000;

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

}  // namespace

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
    // Their numbers begin anew: what is beside readings is sent again.
    to.execute("DELETE FROM cursors WHERE sink_id LIKE '%/%'");
    transaction.commit();
    return salvaged;
  });
  if (!done) return fail(ErrorKind::permanent, "nothing can be read of it: " + done.error().message);
  return done;
}

}  // namespace wattd::storage
