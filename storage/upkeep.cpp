// What the store does between commits: chunks, rollups, retention, and making room.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <thread>

#include "storage/resealing.h"
#include "storage/state.h"
#include "storage/store.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;

constexpr const char* kClockSeen = "clock_seen";
constexpr auto kGrace = 1min;           // after an hour's end, for what is on its way
constexpr auto kBetweenRounds = 10min;  // so that a stream of late readings does not wear the flash
constexpr std::int64_t kSparePages = 64;
constexpr std::int64_t kLeastFree = 1 << 20;
constexpr int kLogPagesAtRest = 250;
constexpr auto kBetweenCheckpoints = 30s;
constexpr auto kBetweenExpiries = 1h;
constexpr int kBackupPages = 256;
constexpr auto kBackupSlice = 50ms;
constexpr auto kBackupAgain = 1h;
constexpr auto kPatience = 50ms;  // for readers to finish before the log is emptied
constexpr std::size_t kPendingAtOnce = 100;

}  // namespace

bool Store::is_round_due(Timestamp now) const {
  const auto& ring = ring_.state();
  if (!ring.has_tail()) return false;
  if (ring.tail_cells >= options_.compaction.cells) return true;
  if (ring.tail_cells == 0) return ring.last_seq - ring.compacted_seq > 10'000;  // nothing but receipts
  if (last_round_at_ && now >= *last_round_at_ && now - *last_round_at_ < kBetweenRounds) return false;
  // When the newest reading's hour has ended, or the first minute of it is there and the hour before is whole.
  // A stamp in the future, which an untrusted clock lets pass, must not hold up the rest.
  const auto newest = calendar_.hour_of(std::min(from_unix_us(ring.tail_to_us), now));
  if (newest.to + kGrace <= now) return true;
  return from_unix_us(ring.tail_from_us) < newest.from && newest.from + kGrace <= now;
}

/// Whether the next round is full and being packed beside us, so that there is no hurry to write it.
bool Store::packs_ahead() {
  const auto& ring = ring_.state();
  if (ring.tail_cells < options_.compaction.cells) return false;
  if (ahead_.is_under_way()) return !ahead_.is_done() && ring.tail_cells < 2 * options_.compaction.cells;
  try {
    return ahead_.begin(database_, calendar_, options_.compaction, fresh_, ring.compacted_seq + 1, ring.last_seq);
  } catch (const std::exception& problem) {
    log::warning(fmt::format("a round of compaction is not packed ahead: {}", problem.what()));
    return false;
  }
}

void Store::compact_round(Timestamp now) {
  const auto done = compact(database_, calendar_, options_.compaction, ahead_, fresh_, now);
  usage_.corrections += done.corrections;
  ring_.compacted(std::max(done.last_seq, ring_.state().compacted_seq));
  ring_.drop(std::min(settled_everywhere(), ring_.state().compacted_seq));
  load_next_pending();
}

void Store::bound_ring(Timestamp now) {
  while (const auto surplus = ring_.surplus(options_.ring_bytes)) {
    const auto done = in_transaction([&] {
      // What has not reached every sink is still found in the chunks.
      if (surplus > ring_.state().compacted_seq) compact_round(now);
      else ring_.drop(surplus);
    });
    if (done) continue;
    // The group is on the disk already: a ring that is too large for now is no reason to refuse it.
    log::error("the ring has outgrown its budget: " + done.error().message);
    return;
  }
}

Timestamp Store::clock_for_expiry(Timestamp now) const {
  if (clock_is_known_) return now;
  // A clock that nobody vouches for may be years ahead: time is then what has passed since the newest reading.
  const auto passed =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - opened_at_);
  return std::min(now, seen_at_open_ + passed);
}

void Store::load_next_pending() {
  Statement row(database_, "SELECT min(until) FROM rollup_pending");
  next_pending_ = row.step() ? row.time_if(0) : std::nullopt;
}

void Store::expire_old(Timestamp now) {
  const RetentionPolicy policy{.raw = options_.raw_retention,
                               .hourly = options_.hourly_retention,
                               .daily = options_.daily_retention,
                               .bytes = options_.database_bytes / 10 * 9};
  const auto expired = expire(database_, calendar_, policy, archive_, settled_everywhere(), clock_for_expiry(now));
  usage_.expired_unsent += expired.unsent;
  usage_.expired_unarchived += expired.unarchived;
  const bool more_alerts = expire_alerts(database_, clock_for_expiry(now) - options_.hourly_retention);
  more_to_expire_ = expired.more || more_alerts;
  if (expired.chunks > 0) ahead_.forget();
  if (clock_is_known_) save(database_, kClockSeen, to_unix_us(now));
}

Timestamp Store::newest_clock() {
  const auto seen = load_number(database_, kClockSeen, -1);
  return seen < 0 ? newest_reading() : from_unix_us(seen);
}

Result<void> Store::know_clock(const Boot& boot) {
  return in_transaction([&] {
    held_.know(boot);
    save(database_, "known_boot", fmt::format("{} {}", boot.id, to_unix_us(boot.known.value())));
    clock_is_known_ = true;
  });
}

std::optional<Timestamp> Store::known_boot(const std::string& boot_id) {
  const auto text = load_text(database_, "known_boot");
  std::int64_t began_us = 0;
  if (!text.starts_with(boot_id + ' ')) return std::nullopt;
  const auto number = std::string_view(text).substr(boot_id.size() + 1);
  if (std::from_chars(number.begin(), number.end(), began_us).ec != std::errc{}) return std::nullopt;
  return from_unix_us(began_us);
}

Result<bool> Store::maintain(Timestamp now) {
  if (held_.state().is_releasable) {
    auto done = in_transaction([&] { ring_.append(held_.release(), {}, now); });
    if (!done) return std::unexpected(done.error());
    return true;
  }
  const bool waits = packs_ahead();
  if (!waits && is_round_due(now)) {
    auto done = in_transaction([&] { compact_round(now); });
    if (!done) return std::unexpected(done.error());
    last_round_at_ = now;
    database_.release_memory();
    (void)database_.checkpoint(kPatience);
    return true;
  }
  // A small log at rest, and in a hurry a larger one: a checkpoint costs two syncs.
  if (database_.log_pages() >= kLogPagesAtRest &&
      (!last_checkpoint_at_ || now < *last_checkpoint_at_ || now - *last_checkpoint_at_ > kBetweenCheckpoints)) {
    database_.checkpoint_passively();
    last_checkpoint_at_ = now;
  }
  if (next_pending_ && *next_pending_ + kGrace <= now) {
    auto done = in_transaction([&] {
      roll_up_pending(database_, calendar_, now, kPendingAtOnce);
      load_next_pending();
    });
    if (!done) return std::unexpected(done.error());
    return true;
  }
  if (is_resealing_) {
    auto done = in_transaction([&] { reseal_some(database_, letters_); });
    if (!done) return std::unexpected(done.error());
    is_resealing_ = usage_.is_resealing = is_resealing(database_);
    if (!is_resealing_) letters_.count(), held_.count();
    return true;
  }
  back_up(now);
  if (backup_) return true;
  if (more_to_expire_ || !last_expiry_at_ || now < *last_expiry_at_ || now - *last_expiry_at_ >= kBetweenExpiries) {
    auto done = in_transaction([&] { expire_old(now); });
    if (!done) return std::unexpected(done.error());
    last_expiry_at_ = now;
    usage_.database_bytes = used_bytes(database_);
    if (options_.limit_bytes != INT64_MAX) prune_backups(backup_directory(), SIZE_MAX, room_for_backups());
    if (ballast_.keep()) usage_.relief.clear();
  }
  if (waits) std::this_thread::yield();
  return more_to_expire_ || waits;
}

std::string Store::backup_directory() const {
  if (!options_.backup_directory.empty()) return options_.backup_directory;
  return (std::filesystem::path(options_.directory) / "backups").string();
}

std::string Store::backup_path(Timestamp now) const {
  return fmt::format("{}/wattd-{}.db", backup_directory(), calendar_.date_of(now));
}

std::int64_t Store::room_for_backups() const {
  return options_.limit_bytes - file_bytes(path_) - file_bytes(path_ + "-wal") - options_.ballast_bytes;
}

Result<void> Store::begin_backup(const std::string& path) {
  if (backup_) return fail(ErrorKind::permanent, "a backup is being made already: " + backup_->path());
  try {
    const auto directory = std::filesystem::path(path).parent_path();
    std::filesystem::create_directories(directory);
    if (std::filesystem::equivalent(directory, options_.directory))
      return fail(ErrorKind::permanent,
                  directory.string() + " is where the database itself lies; name another directory");
    if (std::filesystem::exists(path) && !is_dated_backup(path, backup_directory()))
      return fail(ErrorKind::permanent, path + " exists already; give another name, or remove it");
    const auto needed = database_.pragma("page_count") * database_.pragma("page_size");
    if (directory == backup_directory()) {
      if (room_for_backups() < needed)
        return fail(ErrorKind::permanent,
                    fmt::format("[storage] limit leaves no room for a copy of {} MB", needed >> 20));
      prune_backups(directory, std::max<std::size_t>(options_.backups, 1), room_for_backups() - needed);
    }
    if (free_bytes(directory) < needed + options_.ballast_bytes)
      return fail(ErrorKind::permanent, fmt::format("{} has no room for {} MB", directory.string(), needed >> 20));
    backup_ = std::make_unique<Backup>(database_, path);
    usage_.backup = path;
    usage_.backup_running = true;
    usage_.backup_problem.clear();
    return {};
  } catch (const SqlError& problem) {
    return fail(ErrorKind::permanent, problem.what());
  } catch (const std::filesystem::filesystem_error& problem) {
    return fail(ErrorKind::permanent, problem.what());
  }
}

void Store::back_up(Timestamp now) {
  if (!backup_ && options_.backups > 0 && clock_is_known_) {
    // Once a day of the site, from two o'clock on, when plants are quiet.
    const auto today = calendar_.date_of(now);
    if (today == backed_up_on_ || now - calendar_.day_of(now).from < 2h) return;
    if (backup_again_at_ && now < *backup_again_at_) return;
    backing_up_for_ = today;
    if (const auto begun = begin_backup(backup_path(now)); !begun) {
      usage_.backup_problem = begun.error().message;
      backup_again_at_ = now + kBackupAgain;
      log::warning("the daily backup was not made and is tried again in an hour: " + begun.error().message);
    }
  }
  if (!backup_) return;
  try {
    // A group that opens meanwhile waits no longer than this; in one slice a commit a large file would take days.
    const auto until = std::chrono::steady_clock::now() + kBackupSlice;
    while (!backup_->step(kBackupPages)) {
      if (std::chrono::steady_clock::now() >= until) return;
    }
    log::info("the database was copied to " + backup_->path());
    if (is_dated_backup(backup_->path(), backup_directory())) {
      prune_backups(backup_directory(), options_.backups, room_for_backups());
      backed_up_on_ = backing_up_for_;
      backup_again_at_.reset();
      // Where even this cannot be written, a restart makes one copy more.
      (void)in_transaction([&] { save(database_, "backed_up_on", std::string_view(backed_up_on_)); });
    }
  } catch (const std::exception& problem) {
    usage_.backup_problem = problem.what();
    if (is_dated_backup(backup_->path(), backup_directory())) backup_again_at_ = now + kBackupAgain;
    log::warning(fmt::format("a backup was not made: {}", problem.what()));
  }
  backup_.reset();
  usage_.backup_running = false;
}

bool Store::has_no_space() {
  const auto pages = database_.pragma("page_count") - database_.pragma("freelist_count");
  if (pages + kSparePages >= database_.pragma("max_page_count")) return true;
  // Free pages within the file help against a full disk as much as deleting more of it would.
  const auto spare = database_.pragma("freelist_count") * database_.pragma("page_size");
  return free_bytes(options_.directory) < kLeastFree && spare < kLeastFree;
}

bool Store::relieve(Timestamp now) {
  const bool lighter = ballast_.give_up();
  // Copies go before what they are copies of; the newest one stays.
  if (free_bytes(options_.directory) < kLeastFree) prune_backups(backup_directory(), 1, INT64_MAX);
  Expired expired;
  const auto done = in_transaction([&] {
    ring_.drop(std::min(settled_everywhere(), ring_.state().compacted_seq));
    if (!has_no_space()) return;
    // As if the database were too large: the oldest day of raw data goes, rollups stay.
    const RetentionPolicy policy{.raw = options_.raw_retention,
                                 .hourly = options_.hourly_retention,
                                 .daily = options_.daily_retention,
                                 .bytes = 0};
    expired = expire(database_, calendar_, policy, archive_, settled_everywhere(), clock_for_expiry(now));
    usage_.expired_unsent += expired.unsent;
    usage_.expired_unarchived += expired.unarchived;
    if (expired.chunks > 0) ahead_.forget();
  });
  (void)database_.checkpoint(kPatience);  // a full disk may refuse even this; the next commit tries again
  const bool deleted = done && expired.chunks > 0;
  if (!lighter && !deleted) return false;
  usage_.relief = fmt::format("there is no space left{}{}{}", lighter ? "; the ballast file was given up" : "",
                              deleted ? "; the oldest raw readings were deleted" : "",
                              deleted && expired.unsent > 0 ? ", some of them before every sink had them" : "");
  log::error(usage_.relief, {{"DATABASE", path_}});
  return true;
}

bool Store::is_log_pinned() {
  usage_.wal_bytes = file_bytes(path_ + "-wal");
  if (usage_.wal_bytes <= options_.wal_bytes) return false;
  // Written back and begun anew where nobody reads from it any more; it shrinks to its limit then.
  const bool pinned = !database_.checkpoint(kPatience);
  usage_.wal_bytes = file_bytes(path_ + "-wal");
  return pinned && usage_.wal_bytes > options_.wal_bytes;
}

}  // namespace wattd::storage
