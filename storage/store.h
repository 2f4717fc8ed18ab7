#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "storage/catalogue.h"
#include "storage/database.h"
#include "storage/group.h"
#include "telemetry/error.h"

namespace wattd::storage {

/// Where the data lies and how much of it there may be.
struct Options {
  std::string directory;
  std::int64_t ring_bytes = 256 << 20;        ///< Segments, before the oldest is overwritten.
  std::int64_t dead_letter_bytes = 16 << 20;  ///< Payloads and topics, likewise.
  std::chrono::days raw_retention{90};
};

/// What the store holds, for status and metrics.
struct Usage {
  std::uint64_t last_seq = 0;
  std::int64_t ring_bytes = 0;
  std::int64_t segments = 0;
  std::int64_t dead_letters = 0;
  std::uint64_t overwritten_unsent = 0;  ///< Segments lost to a sink because the ring was full, since start.
};

/// The one writer of the database. A commit that returned is on the disk, power cut or not.
/// Threads: one. Others read through a Reader of their own.
class Store {
 public:
  /// Opens or creates the database in the directory. One that cannot be used (damaged, or of a newer schema)
  /// is left untouched under its name, and a new one beside it is used from then on.
  /// Errors: throws SqlError when no database can be opened at all.
  explicit Store(Options options);
  ~Store();

  /// Writes the group in one transaction and syncs it to the disk.
  /// Errors: retry (disk full, I/O): nothing was written, try the same group again; permanent: something in
  /// the group will never be taken; corrupt: the file is damaged.
  Result<std::uint64_t> commit(const Group& group);

  /// Says what commit() would say, and writes nothing.
  Result<void> check(const Group& group);

  /// Does a slice of the work that may wait: rollups of hours that have ended. True when there is more.
  Result<bool> maintain(Timestamp now);

  /// Replaces what files provisioned: rules whose origin is gone are archived, the rest is inserted or updated.
  Result<void> provision_rules(const std::vector<Rule>& rules, Timestamp now);
  Result<void> change_alert(const Alert& alert);

  std::vector<Device> devices() { return load_devices(database_); }
  std::vector<Series> series() { return load_series(database_); }
  std::vector<Rule> rules() { return load_rules(database_); }
  std::vector<Alert> active_alerts() { return load_active_alerts(database_); }
  std::vector<Cursor> cursors();
  /// The receipts of the newest groups, oldest first: at least `count`, if the newest 5,000 segments hold as many.
  std::vector<Receipt> recent_receipts(std::size_t count);
  /// Says what a field measures, when a device first sends it.
  void set_measurands(Catalogue::MeasurandOf measurand_of) { catalogue_.set_measurands(std::move(measurand_of)); }
  /// The sinks whose cursors hold segments back from being overwritten.
  void set_sinks(std::vector<std::string> sink_ids) { sink_ids_ = std::move(sink_ids); }

  const Usage& usage() const { return usage_; }
  const std::string& path() const { return path_; }
  /// Why an older database stands unused beside this one; empty when none does.
  const std::string& set_aside() const { return set_aside_; }

 private:
  struct Statements;

  std::string open_first_usable();
  Result<std::uint64_t> write(const Group& group, bool keep);
  void write_segments(const Group& group, Timestamp now);
  void write_dead_letters(const std::vector<DeadLetter>& letters);
  void write_alert(const Alert& alert);
  void write_cursor(const Cursor& cursor, Timestamp now);
  void bound_ring();
  void save_rollups_of(const std::set<std::int64_t>& hours);
  void bound_dead_letters();
  void mark_pending(std::int64_t hour);
  void load_usage();
  std::uint64_t settled_everywhere();

  Options options_;
  std::string set_aside_;
  std::string path_;
  Database database_;
  Catalogue catalogue_;
  std::unique_ptr<Statements> sql_;
  std::vector<std::string> sink_ids_;
  std::map<std::int64_t, std::int64_t> pending_hours_;  ///< And the first segment that is not rolled up yet.
  std::int64_t bytes_ever_ = 0;
  std::int64_t dead_letter_bytes_ = 0;
  Usage usage_;
};

}  // namespace wattd::storage
