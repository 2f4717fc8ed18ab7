#pragma once
#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "sync/sink.h"

struct pg_conn;
struct pg_result;

namespace wattd::sync {

/// A connection to PostgreSQL that waits for nothing longer than it is told: links stall rather than close.
/// Threads: one. Errors of every call: permanent for what the server says of the data (SQLSTATE classes 22 and 23);
/// retry for all else, after which the connection is a new one.
class PostgresConnection {
 public:
  PostgresConnection(std::string url, std::string password, std::chrono::milliseconds timeout);
  ~PostgresConnection();

  /// Whether it was opened anew. The stop token holds for all that is done until the next call.
  Taken open(const std::stop_token& stop, bool& is_new);
  Taken execute(const std::string& sql);
  /// The first column of the first row.
  std::expected<std::string, NotTaken> ask(const std::string& sql);
  /// Rows in COPY's text format.
  Taken copy(const std::string& sql, std::string_view rows);
  void close();
  /// Bytes of statements and rows.
  std::uint64_t sent() const { return sent_; }

 private:
  struct FreeResult {
    void operator()(pg_result* result) const;
  };
  using Answer = std::unique_ptr<pg_result, FreeResult>;

  Taken finish_connecting();
  std::expected<Answer, NotTaken> answer();
  bool wait(bool writing);
  bool flush();
  NotTaken lost(std::string_view what);
  NotTaken refused(const pg_result* answer) const;
  void begin() { deadline_ = std::chrono::steady_clock::now() + timeout_; }

  const std::string url_, password_;
  const std::chrono::milliseconds timeout_;
  pg_conn* connection_ = nullptr;
  std::chrono::steady_clock::time_point deadline_{};
  std::stop_token stop_;
  std::uint64_t sent_ = 0;
};

}  // namespace wattd::sync
