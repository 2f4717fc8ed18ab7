#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/alerts.h"
#include "storage/backup.h"
#include "storage/blocks.h"
#include "storage/catalogue.h"
#include "storage/compaction.h"
#include "storage/database.h"
#include "storage/dead_letters.h"
#include "storage/fresh.h"
#include "storage/group.h"
#include "storage/held.h"
#include "storage/retention.h"
#include "storage/ring.h"
#include "storage/rules.h"
#include "storage/space.h"
#include "telemetry/error.h"

namespace wattd::storage {

/// Where the data lies and how much of it there may be.
struct Options {
  std::string directory;
  std::string zone = "UTC";                   ///< IANA name: whose hours and days rollups have.
  std::int64_t ring_bytes = 256 << 20;        ///< Segments, before the oldest is overwritten.
  std::int64_t dead_letter_bytes = 16 << 20;  ///< Payloads and topics, likewise.
  std::int64_t wal_bytes = 64 << 20;          ///< The write-ahead log; beyond it nothing is taken until it shrinks.
  std::int64_t database_bytes = INT64_C(4) << 30;  ///< The whole file; SQLite itself refuses to pass it.
  std::int64_t ballast_bytes = 8 << 20;            ///< A file to give up when the disk is full; 0 for none.
  std::chrono::days raw_retention{90};
  std::chrono::days hourly_retention{365};
  std::chrono::days daily_retention{5 * 365 + 1};
  std::int64_t limit_bytes = INT64_MAX;  ///< All of it together, copies included; they go first.
  std::string backup_directory;          ///< Empty: `backups` within the directory.
  std::size_t backups = 7;               ///< Daily copies that are kept; 0 for none.
  bool waits_for_clock = false;          ///< Nothing is old before know_clock() was called.
  CompactionPolicy compaction = {};
  Vault vault = {};  ///< Seals what is written; without keys it stays plain.
  bool operator==(const Options&) const = default;
};

/// What the store holds, for status and metrics.
struct Usage {
  std::uint64_t last_seq = 0;
  std::uint64_t compacted_seq = 0;
  std::int64_t ring_bytes = 0;
  std::int64_t segments = 0;
  std::int64_t dead_letters = 0;
  std::int64_t held_readings = 0;        ///< Readings that wait for a clock that is trusted.
  std::uint64_t held_lost = 0;           ///< Of those, overwritten for want of room, since start.
  std::int64_t database_bytes = 0;       ///< Pages in use.
  std::int64_t wal_bytes = 0;            ///< The write-ahead log's file.
  std::uint64_t expired_unsent = 0;      ///< Chunks deleted before every sink had settled them, since start.
  std::uint64_t expired_unarchived = 0;  ///< Chunks deleted before they were archived, since start.
  std::uint64_t corrections = 0;         ///< Values replaced by a different one of the same stamp, since start.
  std::uint32_t key = 0;                 ///< The id of the key that seals what is written; 0 for none.
  bool is_resealing = false;             ///< Something is sealed with an older key still, or not at all.
  std::string backup;                    ///< The copy that is being made, or the last one; empty before the first.
  std::string backup_problem;            ///< Why the last copy was not made; empty when it was.
  bool backup_running = false;
  std::string relief;  ///< What was given up for want of space, and why; empty when nothing is.
};

/// The one writer of the database. A commit that returned is on the disk, power cut or not.
/// Threads: one. Others read through a Reader of their own.
class Store {
 public:
  /// Opens or creates the database in the directory. One that cannot be used (damaged, of a newer schema, or sealed
  /// with a key that is not here) is left untouched under its name, and a new one beside it is used from then on.
  /// Errors: throws SqlError when no database can be opened at all.
  explicit Store(Options options);
  ~Store();

  /// Writes the group in one transaction and syncs it to the disk. A full disk gives up the ballast and then the oldest
  /// raw data first.
  /// Errors: retry (disk full, I/O): nothing was written, try the same group again; permanent: something in
  /// the group will never be taken; corrupt: the file is damaged.
  Result<std::uint64_t> commit(const Group& group);

  /// Says what commit() would say, and writes nothing.
  Result<void> check(const Group& group);

  /// Takes note that the clock is trusted and when the machine began to run by it: what is held is put right, slice by
  /// slice in maintain(), and expiry goes by the clock from now on.
  Result<void> know_clock(const Boot& boot);
  /// When the machine began to run, if that was known in this boot; for the next start of the program.
  std::optional<Timestamp> known_boot(const std::string& boot_id);
  /// What a clock that was trusted said last before the database was opened, to within an hour; where none ever was,
  /// the stamp of the newest reading.
  Timestamp seen_at_open() const { return seen_at_open_; }

  /// Does a slice of the work that may wait: chunks, rollups, retention. True when there is more.
  Result<bool> maintain(Timestamp now);

  /// Begins a copy of the database; maintain() goes on with it. Errors: permanent when one is being made already, or
  /// there is no room.
  Result<void> begin_backup(const std::string& path);
  /// Where the next scheduled copy goes.
  std::string backup_path(Timestamp now) const;

  /// Replaces what files provisioned: rules whose origin is gone are archived, the rest is inserted or updated.
  Result<void> provision_rules(const std::vector<Rule>& rules, Timestamp now);
  /// Errors: as for commit(); nothing was written.
  Result<void> put(const Changes& changes);

  std::vector<Device> devices() { return load_devices(database_); }
  std::vector<Series> series() { return load_series(database_); }
  std::vector<Rule> rules() { return load_rules(database_); }
  std::vector<Alert> latest_alerts() { return load_latest_alerts(database_); }
  std::vector<Silence> silences(Timestamp now) { return load_silences(database_, now); }
  std::vector<Announcement> announcements() { return load_announcements(database_); }
  std::vector<Delivery> pending_deliveries() { return load_pending_deliveries(database_); }
  std::vector<Cursor> cursors();
  /// The receipts of the newest groups, oldest first: at least `count`, if the newest 5,000 segments hold as many.
  std::vector<Receipt> recent_receipts(std::size_t count) { return ring_.recent_receipts(count); }
  /// Says what is known of each series, those to come included. Where a counter's rules have changed, the energy of
  /// every hour whose readings are here is counted anew, in slices. Errors: as for commit(); what was known stays.
  Result<void> describe_series(Catalogue::FactsOf facts_of);
  /// The sinks whose cursors hold segments back from being overwritten.
  void set_sinks(std::vector<std::string> sink_ids) { sink_ids_ = std::move(sink_ids); }

  /// Where raw data goes before it is deleted; nowhere by default. Owns: nothing.
  void set_archive(Archive* archive) { archive_ = archive; }

  const Usage& usage() const { return usage_; }
  const Calendar& calendar() const { return calendar_; }
  const std::string& path() const { return path_; }
  const Vault& vault() const { return options_.vault; }
  /// Which databases stand unused beside this one, and why; empty when none does.
  const std::string& set_aside() const { return set_aside_; }

 private:
  struct Statements;

  std::string open_usable();
  void note_others(const std::string& used, const std::vector<std::string>& unusable);
  Result<std::uint64_t> write(const Group& group, bool keep);
  void write_dead_letters(const std::vector<DeadLetter>& letters, const Boot& boot);
  void write_cursor(const Cursor& cursor, Timestamp now);
  void tidy_up(Timestamp now);
  void bound_ring(Timestamp now);
  void compact_round(Timestamp now);
  void expire_old(Timestamp now);
  void load_next_pending();
  Timestamp clock_for_expiry(Timestamp now) const;
  Timestamp newest_clock();
  Timestamp newest_reading();
  bool is_round_due(Timestamp now) const;
  bool packs_ahead();
  /// Makes room after a commit failed for want of it: gives up the ballast, then the oldest raw data.
  /// True when something was given up, so that another try is worth it.
  bool relieve(Timestamp now);
  bool has_no_space();
  void back_up(Timestamp now);
  std::string backup_directory() const;
  std::int64_t room_for_backups() const;
  bool is_log_pinned();
  void adopt_zone();
  void roll_up_anew(std::uint32_t device_key, Timestamp from);
  void forget_rollups_of_chunks();
  void mark_damaged(const SqlError& problem);
  void load_usage();
  void refresh_usage();
  std::uint64_t settled_everywhere();
  template <class Work>
  Result<void> in_transaction(Work work);

  Options options_;
  std::string set_aside_;
  std::string path_;
  Database database_;
  Calendar calendar_;
  Catalogue catalogue_;
  BlockMaker blocks_, held_blocks_;
  Ring ring_;
  Fresh fresh_;
  Ahead ahead_;
  DeadLetters letters_;
  Held held_;
  Ballast ballast_;
  std::unique_ptr<Statements> sql_;
  std::vector<std::string> sink_ids_;
  Archive* archive_ = nullptr;
  std::unique_ptr<Backup> backup_;
  std::string backed_up_on_;                  ///< The date of the last scheduled copy.
  std::string backing_up_for_;                ///< The date of the one that is being made.
  std::optional<Timestamp> backup_again_at_;  ///< When one that failed is tried again.
  std::chrono::steady_clock::time_point opened_at_ = std::chrono::steady_clock::now();
  Timestamp seen_at_open_{};  ///< What the clock said last that is known to be past.
  std::optional<Timestamp> last_round_at_;
  std::optional<Timestamp> last_expiry_at_;
  std::optional<Timestamp> last_checkpoint_at_;
  std::optional<Timestamp> next_pending_;  ///< When the first hour or day ends that waits for its rollups.
  bool more_to_expire_ = false;
  bool clock_is_known_;
  bool is_resealing_ = false;
  bool is_full_ = false;  ///< The last write failed for want of space.
  Usage usage_;
};

template <class Work>
Result<void> Store::in_transaction(Work work) {
  const auto ring = ring_.state();
  const auto usage = usage_;
  const auto held = held_.state();
  try {
    Transaction transaction(database_);
    work();
    transaction.commit();
    refresh_usage();
    return {};
  } catch (const SqlError& problem) {
    ring_.restore(ring);
    held_.restore(held);
    usage_ = usage;
    if (problem.to_error().kind == ErrorKind::corrupt) mark_damaged(problem);
    return std::unexpected(problem.to_error());
  }
}

}  // namespace wattd::storage
