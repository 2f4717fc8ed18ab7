#include "api/http.h"

#include <fmt/format.h>

#include "telemetry/clock.h"
#include "telemetry/json_text.h"

namespace wattd::api {
namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string decoded(std::string_view text, bool plus_is_space) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
      i += 2;
    } else {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

}  // namespace

void parse_target(std::string_view target, Request& request) {
  const auto mark = target.find('?');
  request.path = decoded(target.substr(0, mark), false);
  if (mark == std::string_view::npos) return;
  auto rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const auto pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    const auto equals = pair.find('=');
    const auto value = equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
    request.query.insert_or_assign(decoded(pair.substr(0, equals), true), decoded(value, true));
  }
}

Response error_response(unsigned status, std::string_view code, std::string_view message) {
  std::string body = R"({"success":false,"data":null,"error":{"code":)";
  append_json(body, code);
  body += R"(,"message":)";
  append_json(body, message);
  body += fmt::format(R"(}},"timestamp":"{}"}})", format_iso8601(SystemClock().now()));
  return {.status = status, .body = std::move(body)};
}

}  // namespace wattd::api
