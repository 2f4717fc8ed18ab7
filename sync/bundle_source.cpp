#include "sync/bundle_source.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <mutex>
#include <utility>

#include "config/bundle.h"
#include "drivers/mqtt/writer.h"
#include "sync/placeholders.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

class HttpBundleSource final : public BundleSource {
 public:
  HttpBundleSource(HttpConfig http, std::string diagnostics_url, const std::string& gateway)
      : url_(filled(http.url, "{gateway}", gateway)),
        diagnostics_url_(filled(std::move(diagnostics_url), "{gateway}", gateway)),
        gateway_(gateway),
        client_(std::move(http)) {}

  Result<std::optional<std::string>> fetch(const std::string& state, const std::stop_token& stop) override {
    auto headers = own_headers();
    headers.push_back("X-Wattd-Bundle: " + state);
    if (!etag_.empty()) headers.push_back("If-None-Match: " + etag_);
    auto answer = client_.get(url_, headers, stop);
    if (!answer) return std::unexpected(answer.error());
    wants_ = answer->wants_diagnostics;
    if (answer->status == 304 || answer->status == 404) return std::nullopt;  // none is there for this gateway
    if (answer->status != 200) return fail(ErrorKind::retry, fmt::format("{} answered {}", url_, answer->status));
    etag_ = answer->etag;
    return std::move(answer->body);
  }

  std::string wants_diagnostics() const override { return diagnostics_url_.empty() ? std::string() : wants_; }
  Result<void> send_diagnostics(const std::string& request, const std::string& document,
                                const std::stop_token& stop) override {
    auto headers = own_headers();
    headers.insert(headers.end(), {"Content-Type: application/json", "X-Wattd-Diagnostics: " + request});
    const auto answer = client_.request("POST", diagnostics_url_, document, headers, stop);
    if (!answer) return std::unexpected(answer.error());
    if (answer->status / 100 == 2) return {};
    return fail(ErrorKind::retry, fmt::format("{} answered {}", diagnostics_url_, answer->status));
  }

 private:
  std::vector<std::string> own_headers() const {
    std::vector<std::string> headers{"X-Wattd-Gateway: " + gateway_};
    if (!client_.config().token.empty()) headers.push_back("Authorization: Bearer " + client_.config().token);
    return headers;
  }

  const std::string url_, diagnostics_url_, gateway_;
  HttpClient client_;
  std::string etag_, wants_;
};

class MqttBundleSource final : public BundleSource {
 public:
  MqttBundleSource(drivers::mqtt::Broker broker, const std::string& topic, const std::string& gateway)
      : topic_(filled(topic, "{gateway}", gateway)),
        address_(broker.address()),
        writer_(std::move(broker), "bundle", {}, {}, {topic_, [this](std::string_view payload) { hear(payload); }}) {}

  Result<std::optional<std::string>> fetch(const std::string& state, const std::stop_token&) override {
    if (!writer_.is_connected()) return fail(ErrorKind::retry, address_ + ": not connected");
    writer_.publish(topic_ + "/state", state, true);
    const std::scoped_lock lock(mutex_);
    return std::exchange(heard_, std::nullopt);
  }

 private:
  void hear(std::string_view payload) {
    const std::scoped_lock lock(mutex_);
    if (!payload.empty()) heard_ = std::string(payload);
  }

  const std::string topic_, address_;
  std::mutex mutex_;
  std::optional<std::string> heard_;  ///< Guarded by mutex_.
  drivers::mqtt::Writer writer_;      ///< Last: its thread uses the rest.
};

}  // namespace

BundleConfig parse_bundle_config(const config::Table& table) {
  BundleConfig bundle;
  enum class From { https, mqtt };
  if (table.choice<From>("from", {{"https", From::https}, {"mqtt", From::mqtt}}, From::https) == From::https) {
    bundle.from = parse_http(table);
    bundle.diagnostics_url = parse_url(table, "diagnostics_url", "");
  } else {
    auto broker = drivers::mqtt::parse_broker(table);
    bundle.from = std::move(broker);
    bundle.topic = table.text("topic", bundle.topic);
    if (bundle.topic.empty() || bundle.topic.find_first_of("+#") != std::string::npos)
      table.fail("topic", "expected a topic without + and #");
  }
  const auto path = table.readable_file("public_key");
  if (path.empty()) table.fail("public_key", "is required: the file of the key that bundles are signed with, as PEM");
  std::ifstream file(path);
  bundle.public_key.assign(std::istreambuf_iterator<char>(file), {});
  if (const auto readable = config::check_public_key(bundle.public_key); !readable)
    table.fail("public_key",
               fmt::format("is {}: {}; openssl pkey -in fleet.key -pubout makes one", path, readable.error().message));
  bundle.every = std::chrono::duration_cast<std::chrono::seconds>(table.duration("every", 1s, 24h, bundle.every));
  bundle.trial = std::chrono::duration_cast<std::chrono::seconds>(table.duration("trial", 5s, 24h, bundle.trial));
  table.reject_unknown_keys();
  return bundle;
}

std::unique_ptr<BundleSource> bundle_source(const BundleConfig& config, const std::string& gateway) {
  if (const auto* http = std::get_if<HttpConfig>(&config.from))
    return std::make_unique<HttpBundleSource>(*http, config.diagnostics_url, gateway);
  auto broker = std::get<drivers::mqtt::Broker>(config.from);
  if (broker.client_id.empty()) broker.client_id = fmt::format("wattd-{}-bundle", gateway.substr(0, 8));
  return std::make_unique<MqttBundleSource>(std::move(broker), config.topic, gateway);
}

}  // namespace wattd::sync
