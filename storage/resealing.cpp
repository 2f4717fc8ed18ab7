#include "storage/resealing.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <array>
#include <charconv>
#include <string>

#include "storage/history.h"
#include "storage/rollup_rows.h"
#include "storage/state.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

constexpr std::string_view kProof = "wattd";
constexpr const char* kState = "resealing";
constexpr int kBlobsAtOnce = 16;
constexpr int kRowsAtOnce = 1000;

/// How far it has come: which of the steps, and behind which row of its table.
struct Progress {
  Vault::Id key = 0;  ///< That everything before is sealed with.
  int step = 0;
  std::int64_t a = INT64_MIN;
  std::int64_t b = INT64_MIN;
};

Progress load_progress(Database& database) {
  Progress progress;
  const auto text = load_text(database, kState);
  const auto* at = text.data();
  const auto* end = at + text.size();
  at = std::from_chars(at, end, progress.key).ptr;
  if (at != end) at = std::from_chars(at + 1, end, progress.step).ptr;
  for (auto* number : {&progress.a, &progress.b}) {
    if (at != end) at = std::from_chars(at + 1, end, *number).ptr;
  }
  // Keys that change places meanwhile begin it anew.
  const auto current = database.vault().current();
  return progress.key == current ? progress : Progress{.key = current};
}

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// One table of blobs, each with its place in the row.
struct Blobs {
  const char* select;  ///< id, the place's two numbers, the blob; behind an id, in order of ids
  const char* update;
  Vault::Kind kind;
};

bool reseal_blobs(Database& database, const Blobs& blobs, Progress& progress) {
  const auto& vault = database.vault();
  Statement row(database, blobs.select);
  Statement update(database, blobs.update);
  row.bind(progress.a).bind(std::int64_t{kBlobsAtOnce});
  bool any = false;
  std::vector<std::pair<std::int64_t, Vault::Bytes>> fresh;
  while (row.step()) {
    any = true;
    progress.a = row.integer(0);
    if (sealed_by(row.blob(3)) == vault.current()) continue;
    const Vault::Place place{blobs.kind, row.integer(1), row.integer(2)};
    if (const auto plain = vault.open(place, row.blob(3)); !plain.empty())
      fresh.emplace_back(progress.a, vault.seal(place, plain));
  }
  row.reset();
  for (const auto& [id, body] : fresh) update.bind(std::span(body)).bind(id).run();
  return any;
}

bool reseal_chunks(Database& database, Progress& progress) {
  const auto& vault = database.vault();
  Statement row(database,
                fmt::format("SELECT {} FROM chunks WHERE chunk_id>? ORDER BY chunk_id LIMIT ?", kChunkColumns));
  Statement update(database, "UPDATE chunks SET head=?, body=? WHERE chunk_id=?");
  row.bind(progress.a).bind(std::int64_t{kBlobsAtOnce});
  std::vector<StoredChunk> old;
  bool any = false;
  while (row.step()) {
    any = true;
    progress.a = row.integer(0);
    if (sealed_by(row.blob(4)) == vault.current()) continue;
    // What does not open stays as it is: it may once, with another key or another disk.
    auto chunk = chunk_from(vault, row);
    if (!chunk.head.empty() && !chunk.body.empty()) old.push_back(std::move(chunk));
  }
  row.reset();
  for (const auto& chunk : old) {
    const auto head = vault.seal({Vault::Kind::head, chunk.id, chunk.to_us}, chunk.head);
    const auto body = vault.seal({Vault::Kind::body, chunk.id, chunk.to_us}, chunk.body);
    update.bind(std::span(head)).bind(std::span(body)).bind(chunk.id).run();
  }
  return any;
}

bool reseal_rollups(Database& database, RollupRows::Table table, Progress& progress) {
  RollupRows rows(database, table);
  const auto found = rows.after(static_cast<std::uint32_t>(std::max<std::int64_t>(progress.a, 0)),
                                from_unix_us(progress.b), kRowsAtOnce);
  for (const auto& row : found) {
    if (!row.is_damaged) rows.put(row);
  }
  if (found.empty()) return false;
  progress.a = found.back().series_id, progress.b = to_unix_us(found.back().rollup.start);
  return true;
}

bool reseal_corrections(Database& database, Progress& progress) {
  const auto& vault = database.vault();
  Statement row(database, "SELECT id, series_id, at, was, became FROM corrections WHERE id>? ORDER BY id LIMIT ?");
  Statement update(database, "UPDATE corrections SET was=?, became='' WHERE id=?");
  row.bind(progress.a).bind(std::int64_t{kRowsAtOnce});
  std::vector<std::pair<std::int64_t, Vault::Bytes>> fresh;
  bool any = false;
  while (row.step()) {
    any = true;
    progress.a = row.integer(0);
    const Vault::Place place{Vault::Kind::correction, row.integer(1), row.integer(2)};
    const auto sealed = sealed_by(row.blob(3));
    if (sealed == vault.current()) continue;
    const auto both = row.text(3) + '\n' + row.text(4);
    const auto plain = sealed ? vault.open(place, row.blob(3)) : Vault::Bytes(both.begin(), both.end());
    if (!plain.empty()) fresh.emplace_back(progress.a, vault.seal(place, plain));
  }
  row.reset();
  for (const auto& [id, was] : fresh) update.bind(std::span(was)).bind(id).run();
  return any;
}

bool reseal_letters(DeadLetters& letters, Progress& progress) {
  const auto last = letters.reseal_after(progress.a, kBlobsAtOnce);
  progress.a = last.value_or(progress.a);
  return last.has_value();
}

/// One slice of one step; false when the step is done.
bool reseal_step(Database& database, DeadLetters& letters, Progress& progress) {
  static constexpr Blobs kRing{"SELECT seq, seq, 0, body FROM ring WHERE seq>? ORDER BY seq LIMIT ?",
                               "UPDATE ring SET body=? WHERE seq=?", Vault::Kind::segment};
  static constexpr Blobs kSegments{"SELECT seq, seq, 0, body FROM segments WHERE seq>? ORDER BY seq LIMIT ?",
                                   "UPDATE segments SET body=? WHERE seq=?", Vault::Kind::segment};
  static constexpr Blobs kHeld{"SELECT id, boot_key, until_us, body FROM held WHERE id>? ORDER BY id LIMIT ?",
                               "UPDATE held SET body=? WHERE id=?", Vault::Kind::held};
  switch (progress.step) {
    case 0: return reseal_blobs(database, kRing, progress);
    case 1: return reseal_blobs(database, kSegments, progress);
    case 2: return reseal_blobs(database, kHeld, progress);
    case 3: return reseal_letters(letters, progress);
    case 4: return reseal_corrections(database, progress);
    case 5: return reseal_chunks(database, progress);
    case 6: return reseal_rollups(database, RollupRows::Table::hourly, progress);
    default: return reseal_rollups(database, RollupRows::Table::daily, progress);
  }
}

constexpr int kSteps = 8;

}  // namespace

std::optional<std::string> missing_key(Database& database) {
  Statement row(database, "SELECT key_id, proof FROM vault");
  while (row.step()) {
    const auto id = static_cast<Vault::Id>(row.integer(0));
    const auto& vault = database.vault();
    const auto proof = vault.has(id) ? vault.open({Vault::Kind::proof}, row.blob(1)) : Vault::Bytes{};
    if (!std::ranges::equal(proof, bytes_of(kProof)))
      return fmt::format("it is sealed with key {:08x}, which is not given; [storage] key names the file of keys", id);
  }
  return std::nullopt;
}

void require_keys(Database& database) {
  if (const auto missing = missing_key(database)) throw SqlError(SQLITE_NOTADB, *missing);
  const auto& vault = database.vault();
  if (!vault.seals()) return;
  Statement known(database, "SELECT ifnull(sum(key_id=?1), 0), ifnull(sum(key_id<>?1), 0) FROM vault");
  known.bind(std::int64_t{vault.current()}).step();
  const bool is_known = known.integer(0) > 0;
  const bool are_others = known.integer(1) > 0;
  known.reset();
  if (is_known && !are_others) return;
  Transaction transaction(database);
  if (!is_known) {
    const auto proof = vault.seal({Vault::Kind::proof}, bytes_of(kProof));
    Statement(database, "INSERT INTO vault (key_id, proof) VALUES (?,?)")
        .bind(std::int64_t{vault.current()})
        .bind(std::span(proof))
        .run();
  }
  if (!is_resealing(database)) save(database, kState, std::string_view("0"));
  transaction.commit();
}

bool is_resealing(Database& database) { return !load_text(database, kState).empty(); }

void reseal_some(Database& database, DeadLetters& letters) {
  auto progress = load_progress(database);
  if (!reseal_step(database, letters, progress)) progress = {.key = progress.key, .step = progress.step + 1};
  if (progress.step < kSteps) {
    save(database, kState,
         std::string_view(fmt::format("{} {} {} {}", progress.key, progress.step, progress.a, progress.b)));
    return;
  }
  save(database, kState, std::string_view{});
  Statement(database, "DELETE FROM vault WHERE key_id<>?").bind(std::int64_t{database.vault().current()}).run();
  log::notice(fmt::format("everything is sealed with key {:08x} now; older keys may be taken out of the key file",
                          database.vault().current()));
}

}  // namespace wattd::storage
