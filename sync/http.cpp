#include "sync/http.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <libdeflate.h>
#include <zstd.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <utility>

#include "telemetry/version.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kKept = 2000;  // of an answer, for people
constexpr std::size_t kMostAnswer = 4 << 20;
constexpr std::size_t kOwnHeaders = 120;  // bytes of those that the library adds
constexpr long kConnectMs = 5000;
constexpr long kKeptSeconds = 24 * 3600;
constexpr std::chrono::milliseconds kLongestWait = 15min;  // that a server may ask for

struct FreeHeaders {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Headers = std::unique_ptr<curl_slist, FreeHeaders>;

void add(Headers& headers, const std::string& header) {
  headers.reset(curl_slist_append(headers.release(), header.c_str()));
}

std::size_t keep_start(const char* bytes, std::size_t size, std::size_t count, void* text) noexcept {
  auto& kept = *static_cast<std::string*>(text);
  if (kept.size() < kKept) kept.append(bytes, std::min(size * count, kKept - kept.size()));
  return size * count;
}

/// Gives up what is too long for an answer.
std::size_t keep_all(const char* bytes, std::size_t size, std::size_t count, void* text) noexcept {
  auto& kept = *static_cast<std::string*>(text);
  if (kept.size() + size * count > kMostAnswer) return 0;
  kept.append(bytes, size * count);
  return size * count;
}

/// What the headers of an answer say.
struct Heads {
  bool closes = false;  ///< The server closes the connection behind it.
  std::string etag, wants;
};

/// The value of a header; nothing for another one.
std::optional<std::string_view> value_of(std::string_view line, std::string_view name) {
  const auto is_alike = [](char one, char other) { return (one | 0x20) == (other | 0x20); };
  if (line.size() <= name.size() || line[name.size()] != ':' ||
      !std::ranges::equal(line.substr(0, name.size()), name, is_alike))
    return std::nullopt;
  line.remove_prefix(name.size() + 1);
  while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  return line;
}

std::size_t look_at_header(const char* bytes, std::size_t size, std::size_t count, void* into) noexcept {
  auto& heads = *static_cast<Heads*>(into);
  const std::string_view line(bytes, size * count);
  const auto connection = value_of(line, "connection");
  const auto says = [&](std::string_view word) {
    return connection && connection->find(word) != std::string_view::npos;
  };
  if (line.starts_with("HTTP/1.0") || says("close") || says("Close")) heads.closes = true;
  if (const auto etag = value_of(line, "etag")) heads.etag = *etag;
  if (const auto wants = value_of(line, "x-wattd-diagnostics")) heads.wants = *wants;
  return size * count;
}

int is_stopped(void* stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) noexcept {
  return static_cast<const std::stop_token*>(stop)->stop_requested() ? 1 : 0;
}

void start_curl() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) throw std::runtime_error("libcurl does not start");
}

std::chrono::milliseconds retry_after(CURL* curl) {
  curl_off_t seconds = 0;
  if (curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &seconds) != CURLE_OK || seconds <= 0) return 0ms;
  return std::min<std::chrono::milliseconds>(std::chrono::seconds{seconds}, kLongestWait);
}

/// What an answer that is no success means for what was sent.
NotTaken not_taken(CURL* curl, const std::string& url, const std::string& answer) {
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  // These are about the readings; everything else may pass: a wrong password is no reason to throw data away.
  const bool is_about_data = status == 400 || status == 413 || status == 422;
  NotTaken problem({is_about_data ? ErrorKind::permanent : ErrorKind::retry,
                    fmt::format("{} answered {}: {}", url, status, answer.substr(0, 300))});
  problem.is_too_large = status == 413;
  problem.wait = retry_after(curl);
  return problem;
}

}  // namespace

std::string parse_url(const config::Table& table, const char* key, std::optional<std::string> fallback) {
  auto url = fallback ? table.text(key, *fallback) : table.text(key);
  if (fallback && url == *fallback) return url;
  if (!url.starts_with("http://") && !url.starts_with("https://")) table.fail(key, "expected http://… or https://…");
  while (url.ends_with('/')) url.pop_back();
  const auto host = url.find("://") + 3;
  if (host >= url.size()) table.fail(key, "expected a host behind the ://");
  if (url.substr(host, url.find('/', host) - host).find('@') != std::string::npos)
    table.fail(key, "shows a password to whoever sees the status: username and password have keys of their own");
  return url;
}

HttpConfig parse_http(const config::Table& table) {
  HttpConfig http;
  http.url = parse_url(table, "url");
  http.username = table.text("username", "");
  http.password = table.secret("password");
  http.token = table.secret("token");
  http.ca_file = table.readable_file("ca_file");
  http.cert_file = table.readable_file("cert_file");
  http.key_file = table.readable_file("key_file");
  if (http.cert_file.empty() != http.key_file.empty())
    table.fail("cert_file", "a client certificate needs both cert_file and key_file");
  http.pin = table.text("pin", "");
  if (!http.pin.empty() && !http.pin.starts_with("sha256//"))
    table.fail("pin", "expected the server's public key as sha256//BASE64");
  http.proxy = table.text("proxy", "");
  using Compression = HttpConfig::Compression;
  http.compression = table.choice<Compression>(
      "compression", {{"gzip", Compression::gzip}, {"zstd", Compression::zstd}, {"none", Compression::none}},
      Compression::gzip);
  http.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(table.duration("timeout", 100ms, 5min, 10s));
  return http;
}

void HttpClient::FreeCurl::operator()(CURL* handle) const { curl_easy_cleanup(handle); }

HttpClient::HttpClient(HttpConfig config) : config_(std::move(config)) {
  static_assert(CURL_ERROR_SIZE <= sizeof problem_);
  start_curl();
  handle_.reset(curl_easy_init());
  if (!handle_) throw std::runtime_error("libcurl does not start");
  set_options();
}

void HttpClient::set_options() {
  auto* const curl = handle_.get();
  const auto set_text = [&](CURLoption option, const std::string& text) {
    if (!text.empty()) curl_easy_setopt(curl, option, text.c_str());
  };
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(config_.timeout.count()));
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectMs);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, problem_.data());
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, look_at_header);
  curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);  // a proxy's
  curl_easy_setopt(curl, CURLOPT_MAXAGE_CONN, kKeptSeconds);     // it is the server who ends a connection
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);  // the progress callback is where a request can be given up
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, is_stopped);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, fmt::format("wattd/{}", kVersion).c_str());
  curl_easy_setopt(curl, CURLOPT_PROXY, config_.proxy.c_str());  // an empty one is none
  if (!config_.username.empty()) {
    if (config_.sigv4.empty()) curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    else set_text(CURLOPT_AWS_SIGV4, config_.sigv4);
    set_text(CURLOPT_USERNAME, config_.username);
    curl_easy_setopt(curl, CURLOPT_PASSWORD, config_.password.c_str());
  }
  set_text(CURLOPT_CAINFO, config_.ca_file);
  set_text(CURLOPT_SSLCERT, config_.cert_file);
  set_text(CURLOPT_SSLKEY, config_.key_file);
  set_text(CURLOPT_PINNEDPUBLICKEY, config_.pin);
}

std::string HttpClient::packed(std::string body) const {
  switch (config_.compression) {
    case HttpConfig::Compression::gzip: return gzip(body);
    case HttpConfig::Compression::zstd: return zstd(body);
    case HttpConfig::Compression::none: break;
  }
  return body;
}

std::expected<long, NotTaken> HttpClient::perform(const std::string& url, const std::vector<std::string>& headers,
                                                  std::string& answer, const std::stop_token& stop) {
  Headers list;
  for (const auto& header : headers) add(list, header);
  auto* const curl = handle_.get();
  problem_[0] = '\0';
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list.get());
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &stop);
  Heads heads;
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &heads);
  const auto code = curl_easy_perform(curl);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, nullptr);
  long opened = 0, status = 0;
  curl_easy_getinfo(curl, CURLINFO_NUM_CONNECTS, &opened);
  // One that closes after an answer, and says so, has not been started anew.
  if (std::exchange(stays_, code == CURLE_OK && !heads.closes) && opened > 0) ++breaks_;
  // CURLINFO_REQUEST_SIZE has the body in it or not, depending on how it was written.
  std::size_t head = url.size() + kOwnHeaders;
  for (const auto& header : headers) head += header.size() + 2;
  long answer_head = 0;
  curl_off_t sent = 0, received = 0;
  curl_easy_getinfo(curl, CURLINFO_HEADER_SIZE, &answer_head);
  curl_easy_getinfo(curl, CURLINFO_SIZE_UPLOAD_T, &sent);
  curl_easy_getinfo(curl, CURLINFO_SIZE_DOWNLOAD_T, &received);
  traffic_ += head + static_cast<std::uint64_t>(answer_head + sent + received);
  if (code != CURLE_OK) {
    const std::string_view detail = problem_[0] != '\0' ? problem_.data() : curl_easy_strerror(code);
    return fail(ErrorKind::retry, fmt::format("{}: {}", config_.url, detail));
  }
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  etag_ = std::move(heads.etag);
  wants_ = std::move(heads.wants);
  return status;
}

Taken HttpClient::post(const std::string& path, std::string_view packed, const std::vector<std::string>& headers,
                       const std::stop_token& stop) {
  auto all = headers;
  all.emplace_back("Expect:");  // a round trip for nothing
  if (config_.compression == HttpConfig::Compression::gzip) all.emplace_back("Content-Encoding: gzip");
  if (config_.compression == HttpConfig::Compression::zstd) all.emplace_back("Content-Encoding: zstd");
  auto* const curl = handle_.get();
  curl_easy_setopt(curl, CURLOPT_POST, 1L);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, packed.data());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(packed.size()));
  std::string answer;
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_start);
  const auto status = perform(config_.url + path, all, answer, stop);
  if (!status) return std::unexpected(status.error());
  if (*status / 100 == 2) return {};
  return std::unexpected(not_taken(curl, config_.url, answer));
}

std::expected<HttpClient::Answer, NotTaken> HttpClient::get(const std::string& url,
                                                            const std::vector<std::string>& headers,
                                                            const std::stop_token& stop) {
  auto* const curl = handle_.get();
  curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_all);
  Answer answer;
  const auto status = perform(url, headers, answer.body, stop);
  if (!status) return std::unexpected(status.error());
  answer.status = *status;
  answer.etag = etag_;
  answer.wants_diagnostics = wants_;
  return answer;
}

std::expected<HttpClient::Answer, NotTaken> HttpClient::request(const char* method, const std::string& url,
                                                                std::string_view body,
                                                                const std::vector<std::string>& headers,
                                                                const std::stop_token& stop) {
  auto* const curl = handle_.get();
  const bool is_get = std::string_view(method) == "GET";
  curl_easy_setopt(curl, is_get ? CURLOPT_HTTPGET : CURLOPT_POST, 1L);
  if (!is_get) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  }
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_all);
  Answer answer;
  const auto status = perform(url, headers, answer.body, stop);
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, nullptr);
  if (!status) return std::unexpected(status.error());
  answer.status = *status;
  answer.etag = etag_;
  answer.retry_after = retry_after(curl);
  return answer;
}

Taken HttpClient::confirm(const std::stop_token& stop) {
  const auto answer = get(config_.url + "/ping", {}, stop);
  if (!answer) return std::unexpected(answer.error());
  // A proxy's word that nobody is behind it.
  if (answer->status >= 502 && answer->status <= 504)
    return fail(ErrorKind::retry, fmt::format("{} answered {}", config_.url, answer->status));
  return {};
}

std::string HttpClient::escaped(std::string_view text) {
  start_curl();
  char* const quoted = curl_easy_escape(nullptr, text.data(), static_cast<int>(text.size()));
  if (quoted == nullptr) throw std::bad_alloc();
  std::string copy = quoted;
  curl_free(quoted);
  return copy;
}

std::string gzip(std::string_view plain) {
  constexpr int kLevel = 6;
  struct Free {
    void operator()(libdeflate_compressor* one) const { libdeflate_free_compressor(one); }
  };
  const std::unique_ptr<libdeflate_compressor, Free> compressor(libdeflate_alloc_compressor(kLevel));
  if (!compressor) throw std::bad_alloc();
  std::string packed(libdeflate_gzip_compress_bound(compressor.get(), plain.size()), '\0');
  packed.resize(libdeflate_gzip_compress(compressor.get(), plain.data(), plain.size(), packed.data(), packed.size()));
  packed.shrink_to_fit();
  return packed;
}

std::string zstd(std::string_view plain) {
  constexpr int kLevel = 6;
  std::string packed(ZSTD_compressBound(plain.size()), '\0');
  const auto size = ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), kLevel);
  if (ZSTD_isError(size) != 0) throw std::bad_alloc();
  packed.resize(size);
  packed.shrink_to_fit();
  return packed;
}

}  // namespace wattd::sync
