// Taking another database in: its readings, rollups, held readings and dead letters.
#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <set>

#include "storage/care.h"
#include "storage/catalogue.h"
#include "storage/guarded.h"
#include "storage/reader.h"
#include "storage/resealing.h"
#include "storage/schema.h"
#include "storage/segment.h"
#include "storage/state.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

constexpr std::size_t kReadingsAtOnce = 5000;

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
  auto series_of = catalogue.series_of(block.device_key, id);
  for (auto& column : block.columns) {
    field.bind(std::int64_t{column.series_id}).step();
    column.series_id = series_of(field.text(0), block.columns.size());
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

}  // namespace wattd::storage
