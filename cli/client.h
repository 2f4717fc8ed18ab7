#pragma once
#include <json/value.h>

#include <functional>
#include <string>
#include <string_view>

#include "telemetry/error.h"

namespace wattd::cli {

/// Talks to the daemon's unix socket. Threads: one.
/// Errors of every call: retry when the daemon cannot be reached, permanent when it refused; the message says
/// what to do next.
class Client {
 public:
  explicit Client(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  Result<Json::Value> get(const std::string& target) { return request("GET", target, {}); }
  Result<Json::Value> post(const std::string& target, const std::string& body = {}) {
    return request("POST", target, body);
  }
  Result<Json::Value> patch(const std::string& target, const std::string& body) {
    return request("PATCH", target, body);
  }
  Result<Json::Value> put(const std::string& target, const std::string& body) { return request("PUT", target, body); }
  Result<Json::Value> remove(const std::string& target) { return request("DELETE", target, {}); }
  /// The body as it came.
  Result<std::string> get_text(const std::string& target);
  /// Calls `line` with every line of an endless answer until it returns false.
  Result<void> stream(const std::string& target, const std::function<bool(std::string_view)>& line);
  const std::string& socket_path() const { return socket_path_; }

 private:
  Result<Json::Value> request(const char* method, const std::string& target, const std::string& body);
  Result<std::string> perform(const char* method, const std::string& target, const std::string& body, long& status);

  std::string socket_path_;
};

/// Escapes a value for a query or a path.
std::string escaped(std::string_view text);
Result<Json::Value> parse_json(const std::string& text);

}  // namespace wattd::cli
