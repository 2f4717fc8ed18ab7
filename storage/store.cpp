#include "storage/store.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "storage/candidates.h"
#include "storage/resealing.h"
#include "storage/state.h"
#include "storage/texts.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

constexpr int kMostLogPages = 1000;

/// The connection as the one writer needs it, before anything else asks it.
Database& opened(Database& database, const Options& options) {
  configure_writer(database);
  const auto pages = std::max<std::int64_t>(options.database_bytes / database.pragma("page_size"), 256);
  database.execute(fmt::format("PRAGMA max_page_count={}", pages));
  return database;
}

}  // namespace

struct Store::Statements {
  explicit Statements(Database& database)
      : alerts(database),
        put_cursor(database,
                   "INSERT OR REPLACE INTO cursors (sink_id, settled_seq, sent_seq, backfill, updated_at, paused, "
                   "spent_on, spent_bytes) VALUES (?,?,?,?,?,?,?,?)") {}

  Alerts alerts;
  Statement put_cursor;
};

std::string Store::open_usable() {
  std::filesystem::create_directories(options_.directory);
  // The newest first: where one was set aside, what came since is in the one after it.
  auto candidates = databases_in(options_.directory);
  const auto next = candidates.empty() ? 1 : candidates.back() + 1;
  std::ranges::reverse(candidates);
  candidates.push_back(next);
  std::vector<std::string> unusable;
  for (const auto number : candidates) {
    const auto path = database_path(options_.directory, number);
    try {
      try_open(path, options_.vault);
      note_others(path, unusable);
      return path;
    } catch (const SqlError& problem) {
      if (problem.to_error().kind != ErrorKind::corrupt || number == next) throw;
      unusable.push_back(path);
      if (!set_aside_.empty()) set_aside_ += "; ";
      set_aside_ += fmt::format("{} cannot be used ({}); it is left as it is", path, problem.what());
    }
  }
  throw SqlError(SQLITE_CANTOPEN, options_.directory + " holds no database that can be used");
}

void Store::note_others(const std::string& used, const std::vector<std::string>& unusable) {
  for (const auto number : databases_in(options_.directory)) {
    const auto path = database_path(options_.directory, number);
    if (path == used || std::ranges::find(unusable, path) != unusable.end()) continue;
    if (!set_aside_.empty()) set_aside_ += "; ";
    set_aside_ += path + " is not in use: a newer one stands beside it";
  }
  if (set_aside_.empty()) return;
  set_aside_ +=
      fmt::format("; readings go to {}. wattctl db merge unites them, after db salvage where one is damaged", used);
  log::error(set_aside_, {{"DATABASE", used}});
}

Store::Store(Options options)
    : options_(std::move(options)),
      path_(open_usable()),
      database_(path_, Database::Mode::writer, options_.vault),
      calendar_(options_.zone),
      catalogue_(database_),
      blocks_(catalogue_),
      held_blocks_(catalogue_),
      ring_(opened(database_, options_)),
      letters_(database_),
      held_(database_),
      ballast_((std::filesystem::path(options_.directory) / "ballast").string(), options_.ballast_bytes),
      clock_is_known_(!options_.waits_for_clock) {
  sql_ = std::make_unique<Statements>(database_);
  adopt_zone();
  load_usage();
  remove_unfinished_backups(backup_directory());
  ballast_.keep();
}

Store::~Store() = default;

void Store::load_usage() {
  is_resealing_ = usage_.is_resealing = is_resealing(database_);
  usage_.key = options_.vault.current();
  load_next_pending();
  backed_up_on_ = load_text(database_, "backed_up_on");
  seen_at_open_ = newest_clock();
  usage_.database_bytes = used_bytes(database_);
  refresh_usage();
}

Timestamp Store::newest_reading() {
  auto newest_at = from_unix_us(std::max<std::int64_t>(ring_.state().tail_to_us, 0));
  Statement device(database_, "SELECT device_key FROM devices");
  Statement newest(database_, "SELECT to_at FROM chunks WHERE chunk_id BETWEEN ? AND ? ORDER BY chunk_id DESC LIMIT 1");
  while (device.step()) {
    const auto key = static_cast<std::uint32_t>(device.integer(0));
    newest.bind(chunk_id(key, 0)).bind(chunk_id(key, INT64_MAX));
    if (newest.step()) newest_at = std::max(newest_at, newest.time(0));
    newest.reset();
  }
  return newest_at;
}

void Store::refresh_usage() {
  const auto& ring = ring_.state();
  usage_.last_seq = ring.last_seq;
  usage_.compacted_seq = ring.compacted_seq;
  usage_.ring_bytes = ring.bytes();
  usage_.segments = static_cast<std::int64_t>(ring.last_seq + 1 - ring.first_seq);
  usage_.wal_bytes = file_bytes(path_ + "-wal");
  usage_.dead_letters = letters_.state().letters;
  usage_.held_readings = held_.state().readings;
  usage_.held_lost = held_.state().lost;
}

/// Deletes the rollups that can be computed anew: of each device, those that reach into the time of its chunks.
void Store::forget_rollups_of_chunks() {
  const auto floor = from_unix_us(load_number(database_, "raw_floor"));
  Statement device(database_, "SELECT device_key FROM devices");
  Statement first(database_, "SELECT min(chunk_id) FROM chunks WHERE chunk_id BETWEEN ? AND ?");
  constexpr auto kWhere = " WHERE start>? AND series_id IN (SELECT series_id FROM series WHERE device_key=?)";
  Statement hours(database_, std::string("DELETE FROM rollups_hourly") + kWhere);
  Statement days(database_, std::string("DELETE FROM rollups_daily") + kWhere);
  while (device.step()) {
    const auto key = static_cast<std::uint32_t>(device.integer(0));
    first.bind(chunk_id(key, 0)).bind(chunk_id(key, INT64_MAX));
    if (first.step() && !first.is_null(0)) {
      const auto from = from_unix_us((first.integer(0) - chunk_id(key, 0)) * 1000);
      const auto kept = floor - std::chrono::microseconds{1};
      hours.bind(std::max(from - std::chrono::hours{1}, kept)).bind(device.integer(0)).run();
      days.bind(std::max(from - std::chrono::hours{25}, kept)).bind(device.integer(0)).run();
    }
    first.reset();
  }
}

void Store::adopt_zone() {
  if (load_text(database_, "zone") == options_.zone) return;
  // Every hour for which there are readings is computed anew, in slices; older rollups stay as they were.
  Transaction transaction(database_);
  // What waits for its rollups waits under the old zone's hours and days: chunks tell the new ones.
  database_.execute("DELETE FROM rollup_pending");
  forget_rollups_of_chunks();
  Statement device(database_, "SELECT device_key FROM devices");
  while (device.step()) roll_up_anew(static_cast<std::uint32_t>(device.integer(0)), Timestamp::min());
  save(database_, "zone", std::string_view(options_.zone));
  transaction.commit();
}

/// Lets the hours that begin from an instant on, and for which a device has chunks, wait for their rollups.
void Store::roll_up_anew(std::uint32_t device_key, Timestamp from) {
  Statement wait(database_, "INSERT OR IGNORE INTO rollup_pending VALUES (?,?,?)");
  Statement chunk(database_, "SELECT chunk_id, to_at FROM chunks WHERE chunk_id BETWEEN ? AND ?");
  chunk.bind(chunk_id(device_key, 0)).bind(chunk_id(device_key, INT64_MAX));
  while (chunk.step()) {
    const auto first = from_unix_us((chunk.integer(0) - chunk_id(device_key, 0)) * 1000);
    for (auto hour = calendar_.hour_of(first); hour.from <= chunk.time(1); hour = calendar_.hour_of(hour.to)) {
      if (hour.from >= from) wait.bind(std::int64_t{device_key}).bind(hour.from).bind(hour.to).run();
    }
  }
}

Result<void> Store::describe_series(Catalogue::FactsOf facts_of) {
  try {
    catalogue_.set_facts(std::move(facts_of));
    Transaction transaction(database_);
    const auto devices = catalogue_.review_facts();
    for (const auto key : devices) roll_up_anew(key, raw_floor_of(database_, calendar_, key));
    transaction.commit();
    if (!devices.empty()) load_next_pending();
    return {};
  } catch (const SqlError& problem) {
    if (problem.to_error().kind == ErrorKind::corrupt) mark_damaged(problem);
    return std::unexpected(problem.to_error());
  }
}

void Store::write_dead_letters(const std::vector<DeadLetter>& letters, const Boot& boot) {
  for (const auto& letter : letters) {
    const auto received = letter.message.received;
    if (!has(letter.message.received_quality, Quality::clock_unsynced)) {
      letters_.put(letter, received, {});
      continue;
    }
    if (boot.known) {  // it became known while this one was on its way
      letters_.put(letter, received - boot.assumed + *boot.known, {});
      continue;
    }
    // All of a boot's letters count from the same beginning, whichever start of the program they came to.
    const auto noted = held_.note(boot);
    letters_.put(letter, received - boot.assumed + noted.assumed, noted.key);
  }
}

void Store::write_cursor(const Cursor& cursor, Timestamp now) {
  sql_->put_cursor.bind(cursor.sink_id).bind(static_cast<std::int64_t>(cursor.settled));
  sql_->put_cursor.bind(static_cast<std::int64_t>(cursor.sent)).bind_or_null(ranges_text(cursor.done)).bind(now);
  sql_->put_cursor.bind(std::int64_t{cursor.paused}).bind(cursor.spent_on).bind(cursor.spent_bytes).run();
}

std::uint64_t Store::settled_everywhere() {
  std::uint64_t settled = usage_.last_seq;
  for (const auto& id : sink_ids_) {
    Statement cursor(database_, "SELECT settled_seq FROM cursors WHERE sink_id=?");
    cursor.bind(id);
    settled = std::min(settled, cursor.step() ? static_cast<std::uint64_t>(cursor.integer(0)) : 0);
  }
  return settled;
}

Result<std::uint64_t> Store::commit(const Group& group) {
  auto done = write(group, true);
  if (done || !is_full_) return done;
  const auto now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  return relieve(now) ? write(group, true) : done;
}

Result<void> Store::check(const Group& group) {
  const auto written = write(group, false);
  if (!written) return std::unexpected(written.error());
  return {};
}

Result<std::uint64_t> Store::write(const Group& group, bool keep) {
  const auto before = std::tuple(usage_, ring_.state(), letters_.state(), held_.state());
  const auto undo = [&] {
    catalogue_.roll_back();
    blocks_.forget_devices();
    held_blocks_.forget_devices();
    ring_.restore(std::get<1>(before));
    held_.restore(std::get<3>(before));
    letters_.restore(std::get<2>(before));
    usage_ = std::get<0>(before);
  };
  is_full_ = false;
  try {
    if (keep && is_log_pinned()) {
      return fail(ErrorKind::retry,
                  fmt::format("the write-ahead log has {} MB, because another program has {} open for reading; "
                              "close it there",
                              usage_.wal_bytes >> 20, path_));
    }
    const auto now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
    Transaction transaction(database_);
    for (const auto& device : group.devices) catalogue_.put(device);
    const auto first_seq = ring_.state().last_seq + 1;
    const auto blocks = blocks_.make(group.readings);
    ring_.append(blocks, group.receipts, now);
    if (!group.held.empty()) {
      const auto held = held_blocks_.make(group.held);
      held_.put({held.begin(), held.end()}, group.boot, options_.ring_bytes);
    }
    write_dead_letters(group.dead_letters, group.boot);
    for (const auto id : group.replayed) letters_.mark_replayed(id, now);
    for (const auto& alert : group.alerts) sql_->alerts.put(alert);
    for (const auto& announcement : group.outbox) sql_->alerts.announce(announcement, now);
    for (const auto& announcement : group.told) sql_->alerts.forget(announcement);
    for (const auto& delivery : group.deliveries) sql_->alerts.put(delivery);
    for (const auto& cursor : group.cursors) write_cursor(cursor, now);
    letters_.bound(options_.dead_letter_bytes);
    if (!keep) {
      undo();
      return usage_.last_seq;
    }
    transaction.commit();
    catalogue_.commit();
    fresh_.add(first_seq, ring_.state().last_seq, blocks, 2 * options_.compaction.cells);
    tidy_up(now);
    return usage_.last_seq;
  } catch (const SqlError& problem) {
    undo();
    is_full_ = problem.is_out_of_space();
    if (problem.to_error().kind == ErrorKind::corrupt) mark_damaged(problem);
    return std::unexpected(problem.to_error());
  }
}

/// What follows a commit; the group is on the disk, and nothing here may say that it is not.
void Store::tidy_up(Timestamp now) {
  refresh_usage();
  try {
    if (database_.log_pages() >= kMostLogPages) database_.checkpoint_passively();
    bound_ring(now);
    refresh_usage();
  } catch (const SqlError& problem) {
    if (problem.to_error().kind == ErrorKind::corrupt) mark_damaged(problem);
    log::error(fmt::format("the ring has outgrown its budget: {}", problem.what()));
  }
}

Result<void> Store::provision_rules(const std::vector<Rule>& rules, Timestamp now) {
  return in_transaction([&] { storage::provision_rules(database_, rules, now); });
}

Result<void> Store::put(const Changes& changes) {
  return in_transaction([&] {
    const auto now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
    for (const auto& rule : changes.rules) put_rule(database_, rule, now);
    for (const auto& id : changes.deleted_rules) delete_rule(database_, id, now);
    for (const auto& alert : changes.alerts) sql_->alerts.put(alert);
    for (const auto& announcement : changes.announcements) sql_->alerts.announce(announcement, now);
    for (const auto& announcement : changes.told) sql_->alerts.forget(announcement);
    for (const auto& delivery : changes.deliveries) sql_->alerts.put(delivery);
    for (const auto& silence : changes.silences) put_silence(database_, silence, now);
    for (const auto& entry : changes.audit) put_audit(database_, entry);
  });
}

std::vector<Cursor> Store::cursors() { return load_cursors(database_); }

void Store::mark_damaged(const SqlError& problem) {
  std::ofstream(damage_marker(path_)) << problem.what() << '\n';
  log::error(
      fmt::format("{} is damaged ({}); the next start leaves it as it is and begins a new one", path_, problem.what()),
      {{"DATABASE", path_}});
}

}  // namespace wattd::storage
