#include "sync/postgres_connection.h"

#include <fmt/format.h>
#include <poll.h>

#include <array>

#include "sync/libpq.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kPart = 64 << 10;  // of a COPY, handed over at once
constexpr auto kLook = 100ms;            // whether to stop is looked at so often

std::string without_line_end(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

void PostgresConnection::FreeResult::operator()(pg_result* result) const { libpq().clear(result); }

PostgresConnection::PostgresConnection(std::string url, std::string password, std::chrono::milliseconds timeout)
    : url_(std::move(url)), password_(std::move(password)), timeout_(timeout) {
  libpq();  // what is missing is said at the start
}

PostgresConnection::~PostgresConnection() { close(); }

void PostgresConnection::close() {
  if (connection_ != nullptr) libpq().finish(connection_);
  connection_ = nullptr;
}

NotTaken PostgresConnection::lost(std::string_view what) {
  auto detail = connection_ == nullptr ? std::string() : without_line_end(libpq().error_message(connection_));
  close();
  return NotTaken({ErrorKind::retry, detail.empty() ? std::string(what) : fmt::format("{}: {}", what, detail)});
}

NotTaken PostgresConnection::refused(const pg_result* answer) const {
  const char* state = libpq().result_error_field(answer, PG_DIAG_SQLSTATE);
  const std::string_view code = state == nullptr ? "" : state;
  // Data exceptions and integrity violations are about the readings; everything else may pass.
  const bool is_about_data = code.starts_with("22") || code.starts_with("23");
  return NotTaken({is_about_data ? ErrorKind::permanent : ErrorKind::retry,
                   fmt::format("PostgreSQL refused: {}", without_line_end(libpq().result_error_message(answer)))});
}

/// Until the socket can be read, or written to when there is something to write. False when the time is up.
bool PostgresConnection::wait(bool writing) {
  while (!stop_.stop_requested() && std::chrono::steady_clock::now() < deadline_) {
    pollfd socket{.fd = libpq().socket(connection_), .events = static_cast<short>(POLLIN | (writing ? POLLOUT : 0))};
    if (::poll(&socket, 1, static_cast<int>(kLook.count())) > 0) return true;
  }
  return false;
}

bool PostgresConnection::flush() {
  while (true) {
    const int left = libpq().flush(connection_);
    if (left <= 0) return left == 0;
    if (!wait(true) || libpq().consume_input(connection_) == 0) return false;
  }
}

Taken PostgresConnection::open(const std::stop_token& stop, bool& is_new) {
  stop_ = stop;
  is_new = false;
  if (connection_ != nullptr && libpq().status(connection_) == CONNECTION_OK) return {};
  close();
  begin();
  is_new = true;
  // What the URL says comes last, and holds.
  const std::array<const char*, 5> keys{"dbname", "password", "application_name", "client_encoding", nullptr};
  const std::array<const char*, 5> values{url_.c_str(), password_.empty() ? nullptr : password_.c_str(), "wattd",
                                          "UTF8", nullptr};
  connection_ = libpq().connect_start(keys.data(), values.data(), 1);
  if (connection_ == nullptr) throw std::bad_alloc();
  return finish_connecting();
}

Taken PostgresConnection::finish_connecting() {
  auto state = PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK) {
    if (libpq().status(connection_) == CONNECTION_BAD || state == PGRES_POLLING_FAILED)
      return std::unexpected(lost("cannot connect"));
    pollfd socket{.fd = libpq().socket(connection_),
                  .events = static_cast<short>(state == PGRES_POLLING_READING ? POLLIN : POLLOUT)};
    if (stop_.stop_requested() || std::chrono::steady_clock::now() >= deadline_)
      return std::unexpected(lost("the server does not answer"));
    if (::poll(&socket, 1, static_cast<int>(kLook.count())) > 0) state = libpq().connect_poll(connection_);
  }
  if (libpq().set_nonblocking(connection_, 1) != 0) return std::unexpected(lost("the connection cannot be used"));
  return {};
}

/// The last of the answers to what was sent, or the first that is an error.
std::expected<PostgresConnection::Answer, NotTaken> PostgresConnection::answer() {
  if (!flush()) return std::unexpected(lost("the connection was lost"));
  Answer last;
  std::optional<NotTaken> problem;
  while (true) {
    while (libpq().is_busy(connection_) != 0) {
      if (!wait(false)) return std::unexpected(lost("the server does not answer"));
      if (libpq().consume_input(connection_) == 0) return std::unexpected(lost("the connection was lost"));
    }
    Answer one(libpq().get_result(connection_));
    if (!one) break;
    const auto status = libpq().result_status(one.get());
    if (status == PGRES_FATAL_ERROR && !problem) problem = refused(one.get());
    last = std::move(one);
    if (status == PGRES_COPY_IN) break;
  }
  if (libpq().status(connection_) != CONNECTION_OK) return std::unexpected(lost("the connection was lost"));
  if (problem) return std::unexpected(*problem);
  return last;
}

Taken PostgresConnection::execute(const std::string& sql) {
  begin();
  sent_ += sql.size();
  if (libpq().send_query(connection_, sql.c_str()) == 0) return std::unexpected(lost("the connection was lost"));
  if (auto done = answer(); !done) return std::unexpected(done.error());
  return {};
}

std::expected<std::string, NotTaken> PostgresConnection::ask(const std::string& sql) {
  begin();
  sent_ += sql.size();
  if (libpq().send_query(connection_, sql.c_str()) == 0) return std::unexpected(lost("the connection was lost"));
  const auto done = answer();
  if (!done) return std::unexpected(done.error());
  const auto* rows = done->get();
  return libpq().tuples(rows) > 0 && libpq().fields(rows) > 0 ? std::string(libpq().get_value(rows, 0, 0))
                                                              : std::string();
}

Taken PostgresConnection::copy(const std::string& sql, std::string_view rows) {
  if (auto ready = execute(sql); !ready) return ready;
  begin();
  sent_ += rows.size();
  while (!rows.empty()) {
    const auto part = rows.substr(0, kPart);
    const int put = libpq().put_copy_data(connection_, part.data(), static_cast<int>(part.size()));
    if (put < 0) return std::unexpected(lost("the connection was lost"));
    if (put == 1) rows.remove_prefix(part.size());
    if (!flush()) return std::unexpected(lost("the connection was lost"));
  }
  while (true) {
    const int ended = libpq().put_copy_end(connection_, nullptr);
    if (ended == 1) break;
    if (ended < 0 || !flush()) return std::unexpected(lost("the connection was lost"));
  }
  if (auto done = answer(); !done) return std::unexpected(done.error());
  return {};
}

}  // namespace wattd::sync
