#include "storage/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

namespace wattd::storage {
namespace {

constexpr int kBusyTimeoutMs = 5000;
constexpr std::size_t kMostIdle = 48;  // of a few kB each

[[noreturn]] void raise(sqlite3* handle, int code, std::string_view doing) {
  const char* why = handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
  throw SqlError(code, fmt::format("{}: {} ({})", doing, why, sqlite3_errstr(code)));
}

}  // namespace

Error SqlError::to_error() const {
  switch (code & 0xFF) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_NOMEM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN: return {ErrorKind::retry, what()};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return {ErrorKind::corrupt, what()};
    default: return {ErrorKind::permanent, what()};
  }
}

bool SqlError::is_out_of_space() const {
  return (code & 0xFF) == SQLITE_FULL || code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_TRUNCATE ||
         code == SQLITE_IOERR_SHMSIZE || code == SQLITE_IOERR_SHMMAP;
}

void FinalizeStatement::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

Statement::Statement(Database& database, std::string_view sql)
    : database_(database), statement_(database.prepare(sql)) {}

Statement::~Statement() { database_.keep(std::move(statement_)); }

void Statement::check(int code) const {
  if (code != SQLITE_OK) raise(database_.handle(), code, sqlite3_sql(statement_.get()));
}

Statement& Statement::bind(std::int64_t value) {
  check(sqlite3_bind_int64(statement_.get(), next_parameter_++, value));
  return *this;
}

Statement& Statement::bind(double value) {
  check(sqlite3_bind_double(statement_.get(), next_parameter_++, value));
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  check(sqlite3_bind_text64(statement_.get(), next_parameter_++, text.data() == nullptr ? "" : text.data(), text.size(),
                            SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

Statement& Statement::bind(std::span<const std::uint8_t> blob) {
  check(sqlite3_bind_blob64(statement_.get(), next_parameter_++,
                            blob.empty() ? "" : static_cast<const void*>(blob.data()), blob.size(), SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::bind_null() {
  check(sqlite3_bind_null(statement_.get(), next_parameter_++));
  return *this;
}

Statement& Statement::bind_copy(const Statement& row, int column) {
  check(sqlite3_bind_value(statement_.get(), next_parameter_++, sqlite3_column_value(row.statement_.get(), column)));
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  const std::string sql = sqlite3_sql(statement_.get());
  const std::string why = sqlite3_errmsg(database_.handle());
  reset();
  throw SqlError(code, fmt::format("{}: {} ({})", sql, why, sqlite3_errstr(code)));
}

void Statement::run() {
  while (step()) {
  }
  reset();
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
  next_parameter_ = 1;
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
double Statement::real(int column) const { return sqlite3_column_double(statement_.get(), column); }
bool Statement::is_null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }

std::string Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  return bytes == nullptr
             ? std::string{}
             : std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column)));
}

std::span<const std::uint8_t> Statement::blob(int column) const {
  const auto* bytes = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_.get(), column));
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

void Database::Close::operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }

Database::Database(const std::string& path, Mode mode, Vault vault) : vault_(std::move(vault)) {
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                    (mode == Mode::writer ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READWRITE);
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  handle_.reset(handle);
  if (code != SQLITE_OK) raise(handle, code, "open " + path);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  // A small cache each: the kernel's page cache holds the file, and this process has to stay small.
  execute("PRAGMA cache_size=-512");
  execute("PRAGMA temp_store=MEMORY");
  if (mode == Mode::reader) {
    execute("PRAGMA query_only=ON");
    leave_log();
  }
  // Instead of SQLite's own checkpoints: the store says when.
  sqlite3_wal_hook(
      handle,
      [](void* pages, sqlite3*, const char*, int count) {
        *static_cast<int*>(pages) = count;
        return SQLITE_OK;
      },
      &log_pages_);
}

Database::~Database() = default;

Prepared Database::prepare(std::string_view sql) {
  if (const auto known = idle_.find(sql); known != idle_.end()) {
    auto statement = std::move(known->second);
    idle_.erase(known);
    return statement;
  }
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(handle(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                      &statement, nullptr);
  if (code != SQLITE_OK) raise(handle(), code, sql);
  return Prepared(statement);
}

void Database::keep(Prepared statement) {
  const std::string_view sql = sqlite3_sql(statement.get());
  // What a pragma does may be done while it is prepared.
  if (idle_.size() >= kMostIdle || sql.starts_with("PRAGMA")) return;
  sqlite3_reset(statement.get());
  sqlite3_clear_bindings(statement.get());
  idle_.try_emplace(std::string(sql), std::move(statement));
}

void Database::leave_log() { sqlite3_db_config(handle_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr); }

void Database::execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) raise(handle_.get(), code, sql.substr(0, 120));
}

std::int64_t Database::pragma(const std::string& name) {
  Statement statement(*this, "PRAGMA " + name);
  return statement.step() ? statement.integer(0) : 0;
}

void Database::checkpoint_passively() {
  int pages = 0;
  int written = 0;
  const int code = sqlite3_wal_checkpoint_v2(handle_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &pages, &written);
  if (code == SQLITE_OK) log_pages_ = pages - written;
}

bool Database::checkpoint(std::chrono::milliseconds patience) {
  sqlite3_busy_timeout(handle_.get(), static_cast<int>(patience.count()));
  const int code = sqlite3_wal_checkpoint_v2(handle_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  sqlite3_busy_timeout(handle_.get(), kBusyTimeoutMs);
  return code == SQLITE_OK;
}

std::int64_t Database::last_insert_rowid() const { return sqlite3_last_insert_rowid(handle_.get()); }

void Database::release_memory() { sqlite3_db_release_memory(handle_.get()); }

Transaction::Transaction(Database& database) : database_(database) { Statement(database_, "BEGIN IMMEDIATE").run(); }

Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.execute("ROLLBACK");
  } catch (const SqlError&) {
    // SQLite has rolled back by itself, as it does after a full disk; there is nothing left to undo.
  }
}

void Transaction::commit() {
  Statement(database_, "COMMIT").run();
  open_ = false;
}

}  // namespace wattd::storage
