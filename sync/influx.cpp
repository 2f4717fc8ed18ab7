#include "sync/influx.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <stdexcept>

#include "telemetry/version.h"

namespace wattd::sync {
namespace {

struct FreeCurl {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeHeaders {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::string gzip(std::string_view plain) {
  z_stream stream{};
  constexpr int kGzip = 15 + 16;
  if (deflateInit2(&stream, 6, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
  std::string packed(deflateBound(&stream, plain.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::size_t keep_start(const char* bytes, std::size_t size, std::size_t count, void* text) noexcept {
  auto& kept = *static_cast<std::string*>(text);
  if (kept.size() < 2000) kept.append(bytes, std::min(size * count, 2000 - kept.size()));
  return size * count;
}

int is_stopped(void* stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) noexcept {
  return static_cast<const std::stop_token*>(stop)->stop_requested() ? 1 : 0;
}

class InfluxSink final : public Sink {
 public:
  InfluxSink(InfluxConfig config, std::string gateway)
      : config_(std::move(config)),
        lines_{.gateway = std::move(gateway), .non_numeric = config_.non_numeric},
        handle_(curl_easy_init()) {
    if (!handle_) throw std::runtime_error("libcurl does not start");
    write_url_ = write_url();
    set_headers();
    set_options();
  }

  Result<void> send(std::span<const Outgoing> batch, const std::stop_token& stop) override {
    const auto lines = to_lines(batch, lines_);
    if (lines.empty()) return {};
    const auto body = config_.gzip ? gzip(lines) : lines;
    std::string answer;
    auto* const curl = handle_.get();
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &stop);
    const auto code = curl_easy_perform(curl);
    if (code != CURLE_OK) {
      const std::string_view detail = error_[0] != '\0' ? error_.data() : curl_easy_strerror(code);
      return fail(ErrorKind::retry, fmt::format("{}: {}", config_.url, detail));
    }
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (status / 100 == 2) return {};
    const auto what = fmt::format("{} answered {}: {}", config_.url, status, answer.substr(0, 300));
    // 400, 413 and 422 are about these readings; everything else may pass: a wrong password is no reason to
    // throw data away.
    const bool about_data = status == 400 || status == 413 || status == 422;
    return fail(about_data ? ErrorKind::permanent : ErrorKind::retry, what);
  }

  std::string target() const override { return config_.url; }

 private:
  std::string escaped(const std::string& text) const {
    char* const quoted = curl_easy_escape(handle_.get(), text.c_str(), static_cast<int>(text.size()));
    std::string copy = quoted;
    curl_free(quoted);
    return copy;
  }

  std::string write_url() const {
    if (config_.version == 2) {
      return fmt::format("{}/api/v2/write?org={}&bucket={}&precision=us", config_.url, escaped(config_.org),
                         escaped(config_.bucket));
    }
    return fmt::format("{}/write?db={}&precision=u", config_.url, escaped(config_.database));
  }

  void set_headers() {
    curl_slist* list = curl_slist_append(nullptr, "Content-Type: text/plain; charset=utf-8");
    list = curl_slist_append(list, "Expect:");  // a round trip for nothing
    if (config_.gzip) list = curl_slist_append(list, "Content-Encoding: gzip");
    if (!config_.token.empty()) list = curl_slist_append(list, ("Authorization: Token " + config_.token).c_str());
    headers_.reset(list);
  }

  void set_options() {
    auto* const curl = handle_.get();
    curl_easy_setopt(curl, CURLOPT_URL, write_url_.c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(config_.timeout.count()));
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_.data());
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_start);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);  // the progress callback is where a request can be given up
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, is_stopped);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, fmt::format("wattd/{}", kVersion).c_str());
    if (!config_.username.empty()) {
      curl_easy_setopt(curl, CURLOPT_USERNAME, config_.username.c_str());
      curl_easy_setopt(curl, CURLOPT_PASSWORD, config_.password.c_str());
    }
    if (!config_.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, config_.ca_file.c_str());
  }

  const InfluxConfig config_;
  const LineOptions lines_;
  std::unique_ptr<CURL, FreeCurl> handle_;
  std::unique_ptr<curl_slist, FreeHeaders> headers_;
  std::string write_url_;
  std::array<char, CURL_ERROR_SIZE> error_{};
};

}  // namespace

InfluxConfig parse_influx(const config::Table& table) {
  using namespace std::chrono_literals;
  InfluxConfig influx;
  influx.url = table.text("url");
  if (!influx.url.starts_with("http://") && !influx.url.starts_with("https://")) {
    table.fail("url", "expected http://… or https://…");
  }
  while (influx.url.ends_with('/')) influx.url.pop_back();
  if (influx.url.find("://") + 3 >= influx.url.size()) table.fail("url", "expected a host behind the ://");
  influx.version = static_cast<int>(table.one_of("version", {1, 2}, 1));
  influx.database = table.text("database", influx.database);
  influx.org = table.text("org", "");
  influx.bucket = table.text("bucket", influx.version == 2 ? influx.database : "");
  if (influx.version == 2 && influx.bucket.empty()) table.fail("bucket", "is required with version = 2");
  influx.username = table.text("username", "");
  influx.password = table.secret("password");
  influx.token = table.secret("token");
  influx.ca_file = table.readable_file("ca_file");
  influx.gzip = table.boolean("gzip", true);
  influx.non_numeric = table.boolean("non_numeric", false);
  influx.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(table.duration("timeout", 100ms, 5min, 10s));
  return influx;
}

std::unique_ptr<Sink> influx_sink(InfluxConfig config, std::string gateway) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) throw std::runtime_error("libcurl does not start");
  return std::make_unique<InfluxSink>(std::move(config), std::move(gateway));
}

}  // namespace wattd::sync
