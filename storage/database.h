#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

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
  /// The consequence: full disks and I/O errors are `retry`, damaged files `corrupt`, the rest `permanent`.
  Error to_error() const;
};

class Database;

/// A prepared statement. Bind from left to right, then step.
/// Threads: its Database's.
class Statement {
 public:
  Statement(Database& database, std::string_view sql);

  Statement& bind(std::int64_t value);
  Statement& bind(double value);
  Statement& bind(std::string_view text);
  Statement& bind(std::span<const std::uint8_t> blob);
  Statement& bind(Timestamp at) { return bind(to_unix_us(at)); }
  Statement& bind_null();
  Statement& bind(const std::optional<Timestamp>& at) { return at ? bind(*at) : bind_null(); }
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

  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  sqlite3* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int next_parameter_ = 1;
};

/// A connection. Threads: one at a time.
class Database {
 public:
  enum class Mode { writer, reader };
  /// Opens, or as a writer creates, the file.
  /// Errors: throws SqlError.
  Database(const std::string& path, Mode mode);

  void execute(const std::string& sql);
  std::int64_t pragma(const std::string& name);
  std::int64_t last_insert_rowid() const;
  /// Gives cached pages back to the system.
  void release_memory();
  sqlite3* handle() { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  std::unique_ptr<sqlite3, Close> handle_;
};

/// Rolls back unless told to commit.
class Transaction {
 public:
  explicit Transaction(Database& database) : database_(database) { database_.execute("BEGIN IMMEDIATE"); }
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace wattd::storage
