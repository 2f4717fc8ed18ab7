#include "cli/client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <json/reader.h>
#include <unistd.h>

#include <memory>

namespace wattd::cli {
namespace {

struct FreeCurl {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using Handle = std::unique_ptr<CURL, FreeCurl>;

Handle open(const std::string& socket_path, const std::string& target) {
  Handle handle(curl_easy_init());
  curl_easy_setopt(handle.get(), CURLOPT_UNIX_SOCKET_PATH, socket_path.c_str());
  curl_easy_setopt(handle.get(), CURLOPT_URL, ("http://wattd" + target).c_str());
  curl_easy_setopt(handle.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle.get(), CURLOPT_NOPROXY, "*");
  return handle;
}

std::size_t append(const char* bytes, std::size_t size, std::size_t count, void* text) noexcept {
  static_cast<std::string*>(text)->append(bytes, size * count);
  return size * count;
}

Error unreachable(const std::string& socket_path, CURLcode code) {
  const bool there = access(socket_path.c_str(), F_OK) == 0;
  const bool allowed = access(socket_path.c_str(), R_OK | W_OK) == 0;
  const auto* remedy = !there     ? "is wattd running? see: systemctl status wattd"
                       : !allowed ? "you may not use it: run with sudo, or join the group wattd"
                                  : "the daemon does not answer: see journalctl -u wattd";
  return {ErrorKind::retry, fmt::format("{}: {}; {}", socket_path, curl_easy_strerror(code), remedy)};
}

struct LineSink {
  const std::function<bool(std::string_view)>& line;
  std::string rest;
};

std::size_t split_lines(const char* bytes, std::size_t size, std::size_t count, void* data) noexcept {
  auto& sink = *static_cast<LineSink*>(data);
  sink.rest.append(bytes, size * count);
  for (auto end = sink.rest.find('\n'); end != std::string::npos; end = sink.rest.find('\n')) {
    const auto line = sink.rest.substr(0, end);
    sink.rest.erase(0, end + 1);
    if (!line.empty() && !sink.line(line)) return 0;
  }
  return size * count;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const unsigned char c : text) {
    if (std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '~') out += static_cast<char>(c);
    else out += fmt::format("%{:02X}", c);
  }
  return out;
}

Result<Json::Value> parse_json(const std::string& text) {
  Json::CharReaderBuilder strict;
  Json::CharReaderBuilder::strictMode(&strict.settings_);
  const std::unique_ptr<Json::CharReader> parser(strict.newCharReader());
  Json::Value value;
  std::string problem;
  if (parser->parse(text.data(), text.data() + text.size(), &value, &problem)) return value;
  return fail(ErrorKind::permanent, "the answer is not JSON: " + problem);
}

Result<std::string> Client::perform(const char* method, const std::string& target, const std::string& body,
                                    long& status) {
  const auto handle = open(socket_path_, target);
  std::string answer;
  auto* const curl = handle.get();
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
  if (std::string_view(method) != "GET") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
  }
  const auto code = curl_easy_perform(curl);
  if (code != CURLE_OK) return std::unexpected(unreachable(socket_path_, code));
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  return answer;
}

Result<std::string> Client::get_text(const std::string& target) {
  long status = 0;
  return perform("GET", target, {}, status);
}

Result<Json::Value> Client::request(const char* method, const std::string& target, const std::string& body) {
  long status = 0;
  const auto answer = perform(method, target, body, status);
  if (!answer) return std::unexpected(answer.error());
  auto json = parse_json(*answer);
  if (!json) return json;
  if (status / 100 == 2 || !json->isMember("error")) return json;
  const auto& error = (*json)["error"];
  const auto code = error["code"].asString();
  const auto kind = code == "SILENT"        ? ErrorKind::retry
                    : code == "UNSUPPORTED" ? ErrorKind::unsupported
                                            : ErrorKind::permanent;
  return fail(kind, error["message"].asString());
}

Result<void> Client::stream(const std::string& target, const std::function<bool(std::string_view)>& line) {
  const auto handle = open(socket_path_, target);
  LineSink sink{line, {}};
  curl_easy_setopt(handle.get(), CURLOPT_WRITEFUNCTION, split_lines);
  curl_easy_setopt(handle.get(), CURLOPT_WRITEDATA, &sink);
  curl_easy_setopt(handle.get(), CURLOPT_BUFFERSIZE, 262144L);
  const auto code = curl_easy_perform(handle.get());
  if (code == CURLE_OK || code == CURLE_WRITE_ERROR) return {};
  return std::unexpected(unreachable(socket_path_, code));
}

}  // namespace wattd::cli
