#pragma once
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "config/table.h"
#include "sync/sink.h"

using CURL = void;
struct curl_slist;

namespace wattd::sync {

/// A server that takes readings over HTTP, and how it is reached.
struct HttpConfig {
  std::string url;                 ///< Without a / at its end.
  std::string username, password;  ///< Basic authentication; empty for none.
  std::string sigv4;               ///< What AWS's signature is made for, with these as keys: `aws:amz:REGION:s3`.
  std::string token;
  std::string ca_file;              ///< Empty: the system's authorities.
  std::string cert_file, key_file;  ///< A certificate of the gateway's own.
  std::string pin;                  ///< The server's public key, as `sha256//BASE64`; empty for any.
  std::string proxy;                ///< Empty: none, whatever the environment says.
  enum class Compression { none, gzip, zstd } compression = Compression::gzip;
  std::chrono::milliseconds timeout{10'000};
  bool operator==(const HttpConfig&) const = default;
};

/// The URL under a key, without a / at its end; `fallback` where there is none. Errors: throws config::ConfigError.
std::string parse_url(const config::Table& table, const char* key, std::optional<std::string> fallback = {});
/// Reads the keys that all such sinks have from a [[sinks]] table. Errors: throws config::ConfigError.
HttpConfig parse_http(const config::Table& table);

/// Hands over bodies on a connection that is kept. Files of certificates are read at each new connection, so that
/// renewed ones are taken up. Threads: one.
class HttpClient {
 public:
  /// Errors: throws std::runtime_error when libcurl does not start.
  explicit HttpClient(HttpConfig config);

  /// The body as it travels: compressed when the configuration says so. Threads: any.
  std::string packed(std::string body) const;
  /// Sends what packed() made to url + `path`.
  /// Errors: permanent for what says that the body will never be taken (400, 413, 422), which a proxy's answer may be,
  /// too; retry for everything else, with what Retry-After says.
  Taken post(const std::string& path, std::string_view packed, const std::vector<std::string>& headers,
             const std::stop_token& stop);
  /// What the server answers to GET of a whole URL, whatever its status. Errors: retry when it does not answer.
  struct Answer {
    long status = 0;
    std::string body;
    std::string etag;
    std::string wants_diagnostics;  ///< The header X-Wattd-Diagnostics.
    std::chrono::milliseconds retry_after{0};
  };
  std::expected<Answer, NotTaken> get(const std::string& url, const std::vector<std::string>& headers,
                                      const std::stop_token& stop);
  /// The same of any method, with a body as it is.
  std::expected<Answer, NotTaken> request(const char* method, const std::string& url, std::string_view body,
                                          const std::vector<std::string>& headers, const std::stop_token& stop);
  /// As of Sink::confirm(): whatever the server answers, it is there.
  Taken confirm(const std::stop_token& stop);
  /// As of Sink::breaks().
  std::uint64_t breaks() const { return breaks_; }
  /// As of Sink::traffic(): requests and answers, with their headers.
  std::uint64_t traffic() const { return traffic_; }
  const HttpConfig& config() const { return config_; }
  static std::string escaped(std::string_view text);

 private:
  void set_options();
  /// Of what the options ask for. Errors: retry when there is no answer.
  std::expected<long, NotTaken> perform(const std::string& url, const std::vector<std::string>& headers,
                                        std::string& answer, const std::stop_token& stop);

  const HttpConfig config_;
  struct FreeCurl {
    void operator()(CURL* handle) const;
  };
  std::unique_ptr<CURL, FreeCurl> handle_;
  std::array<char, 256> problem_{};  ///< CURL_ERROR_SIZE.
  std::string etag_, wants_;         ///< Of the last answer.
  bool stays_ = false;               ///< The server has answered, and not said that it closes the connection.
  std::uint64_t breaks_ = 0;
  std::uint64_t traffic_ = 0;
};

/// Shape: RFC 1952.
std::string gzip(std::string_view plain);
/// Shape: RFC 8878.
std::string zstd(std::string_view plain);

}  // namespace wattd::sync
