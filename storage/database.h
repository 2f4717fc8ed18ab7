#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "storage/vault.h"
#include "telemetry/error.h"
#include "telemetry/time.h"

struct sqlite3;
struct sqlite3_stmt;

namespace wattd::storage {

/// What SQLite said. It stays inside this room: public functions turn it into an Error or, before
/// the daemon is ready, let it reach main.
struct SqlError : std::runtime_error {
  SqlError(int result_code, const std::string& what) : std::runtime_error(what), code(result_code) {}
  int code;
  /// Whether it failed for want of space, or so that it may be that.
  bool is_out_of_space() const;
  /// The consequence: full disks and I/O errors are `retry`, damaged files `corrupt`, the rest `permanent`.
  Error to_error() const;
};

class Database;

struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const;
};
using Prepared = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

/// A prepared statement. Bind from left to right, then step. When it goes, the Database keeps what was prepared for the
/// next one of the same text.
/// Threads: its Database's, which outlives it.
class Statement {
 public:
  Statement(Database& database, std::string_view sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(std::int64_t value);
  Statement& bind(double value);
  Statement& bind(std::string_view text);
  Statement& bind(std::span<const std::uint8_t> blob);
  Statement& bind(Timestamp at) { return bind(to_unix_us(at)); }
  Statement& bind_null();
  Statement& bind(const std::optional<Timestamp>& at) { return at ? bind(*at) : bind_null(); }
  /// Binds what stands in a column of another statement's row.
  Statement& bind_copy(const Statement& row, int column);
  /// Binds NULL for an empty text.
  Statement& bind_or_null(std::string_view text) { return text.empty() ? bind_null() : bind(text); }

  /// True while there is a row.
  bool step();
  /// Runs a statement that returns nothing, and makes it ready for the next use.
  void run();
  void reset();

  std::int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;
  /// Owns: nothing; the bytes live until the next step.
  std::span<const std::uint8_t> blob(int column) const;
  bool is_null(int column) const;
  Timestamp time(int column) const { return from_unix_us(integer(column)); }
  std::optional<Timestamp> time_if(int column) const {
    return is_null(column) ? std::nullopt : std::optional(time(column));
  }

 private:
  void check(int code) const;

  Database& database_;
  Prepared statement_;
  int next_parameter_ = 1;
};

/// Makes a statement ready for its next use at the end of the block, however that is left.
class ResetAtEnd {
 public:
  explicit ResetAtEnd(Statement& statement) : statement_(statement) {}
  ~ResetAtEnd() { statement_.reset(); }
  ResetAtEnd(const ResetAtEnd&) = delete;
  ResetAtEnd& operator=(const ResetAtEnd&) = delete;

 private:
  Statement& statement_;
};

/// A connection. Threads: one at a time.
class Database {
 public:
  enum class Mode { writer, reader };
  /// Opens, or as a writer creates, the file.
  /// Errors: throws SqlError.
  explicit Database(const std::string& path, Mode mode, Vault vault = {});
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void execute(const std::string& sql);
  std::int64_t pragma(const std::string& name);
  std::int64_t last_insert_rowid() const;
  /// Pages of the write-ahead log that have not been written back, as of this connection's last commit.
  int log_pages() const { return log_pages_; }
  /// Writes back what no reader needs any more; waits for nobody. The next commit begins the log anew if that was all.
  void checkpoint_passively();
  /// Writes the log back into the file and empties it, where nobody reads from it.
  /// False when somebody does; waits for them no longer than `patience`.
  bool checkpoint(std::chrono::milliseconds patience);
  /// Leaves the write-ahead log where it is when this connection is the last one that closes.
  void leave_log();
  /// Gives cached pages back to the system.
  void release_memory();
  sqlite3* handle() { return handle_.get(); }
  /// What seals and opens that which is to be kept from whoever takes the disk.
  const Vault& vault() const { return vault_; }

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  friend class Statement;
  Prepared prepare(std::string_view sql);
  void keep(Prepared statement);

  Vault vault_;
  int log_pages_ = 0;
  std::unique_ptr<sqlite3, Close> handle_;
  std::map<std::string, Prepared, std::less<>> idle_;  ///< By their text.
};

/// Rolls back unless told to commit.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace wattd::storage
