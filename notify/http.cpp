#include "notify/http.h"

#include <array>
#include <charconv>
#include <stdexcept>
#include <string_view>

#include "telemetry/version.h"

namespace wattd::notify {
namespace {

constexpr long kConnectSeconds = 10, kSeconds = 30;
constexpr std::size_t kKept = 4096;

std::size_t keep_start(const char* bytes, std::size_t size, std::size_t count, void* text) noexcept {
  auto& kept = *static_cast<std::string*>(text);
  if (kept.size() < kKept) kept.append(bytes, std::min(size * count, kKept - kept.size()));
  return size * count;
}

int is_stopped(void* stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) noexcept {
  return static_cast<const std::stop_token*>(stop)->stop_requested() ? 1 : 0;
}

}  // namespace

Curl make_curl(const std::string& ca_file, const std::stop_token& stop) {
  Curl curl(curl_easy_init());
  if (!curl) throw std::runtime_error("libcurl does not start");
  auto* const handle = curl.get();
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(handle, CURLOPT_TIMEOUT, kSeconds);
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, is_stopped);
  curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &stop);
  if (!ca_file.empty()) curl_easy_setopt(handle, CURLOPT_CAINFO, ca_file.c_str());
  return curl;
}

HttpAnswer post(const HttpRequest& request, const std::stop_token& stop) {
  const auto curl = make_curl(request.ca_file, stop);
  auto* const handle = curl.get();
  HttpAnswer answer;
  std::array<char, CURL_ERROR_SIZE> problem{};
  CurlList headers;
  for (const auto& header : request.headers) headers.reset(curl_slist_append(headers.release(), header.c_str()));
  headers.reset(curl_slist_append(headers.release(), "Expect:"));  // a round trip for nothing
  curl_easy_setopt(handle, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_USERAGENT, (std::string("wattd/") + kVersion).c_str());
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(handle, CURLOPT_POSTFIELDS, request.body.data());
  curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, keep_start);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &answer.body);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, problem.data());
  if (!request.user.empty()) {
    curl_easy_setopt(handle, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(handle, CURLOPT_USERNAME, request.user.c_str());
    curl_easy_setopt(handle, CURLOPT_PASSWORD, request.password.c_str());
  }
  const auto code = curl_easy_perform(handle);
  if (code != CURLE_OK) {
    answer.problem = problem[0] != '\0' ? problem.data() : curl_easy_strerror(code);
    return answer;
  }
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &answer.status);
  curl_off_t seconds = 0;
  if (curl_easy_getinfo(handle, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK && seconds > 0)
    answer.retry_after = std::chrono::seconds{seconds};
  return answer;
}

std::string url_encoded(const std::string& text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const unsigned char c : text) {
    if (std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_' || c == '~') out += static_cast<char>(c);
    else out += {'%', kHex[c >> 4], kHex[c & 15]};
  }
  return out;
}

}  // namespace wattd::notify
