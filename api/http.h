#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace wattd::api {

/// A request, free of the server that took it.
struct Request {
  std::string method;
  std::string path;                          ///< Decoded, without the query.
  std::map<std::string, std::string> query;  ///< Decoded.
  std::string body;
  std::string authorization;  ///< The header of that name.
  bool trusted = false;       ///< It came by the unix socket, whose file mode says who may.
};

struct Response {
  unsigned status = 200;
  std::string body;
  std::string content_type = "application/json";
  bool streams = false;     ///< The connection goes on with committed readings instead of a body,
  std::string only_device;  ///< of this device; empty means all.
};

using Handler = std::function<Response(const Request&)>;

/// Splits `path?query` and decodes both.
void parse_target(std::string_view target, Request& request);

/// The error envelope that every failure has.
Response error_response(unsigned status, std::string_view code, std::string_view message);

}  // namespace wattd::api
