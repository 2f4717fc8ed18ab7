// Alerts for programs: signed webhooks, and MQTT. docs/formats/notifications.md has what they get.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <json/writer.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "drivers/mqtt/writer.h"
#include "notify/channel.h"
#include "notify/http.h"
#include "rules/json.h"
#include "telemetry/log.h"

namespace wattd::notify {
namespace {

using namespace std::chrono_literals;

constexpr auto kAcknowledged = 10s;

std::string write(const Json::Value& json) {
  Json::StreamWriterBuilder builder;
  builder["indentation"] = "";
  builder["emitUTF8"] = true;
  return Json::writeString(builder, json);
}

Json::Value json_of(const Told& told) {
  auto json = rules::to_json(told.alert);
  json["rule_name"] = told.rule;
  json["event"] = told.event;
  return json;
}

std::string hmac_sha256(const std::string& key, const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), digest.data(), &size);
  return fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + size, ""));
}

class Webhook final : public Channel {
 public:
  Webhook(WebhookConfig config, std::string gateway) : config_(std::move(config)), gateway_(std::move(gateway)) {}

  Outcome send(const Letter& letter, const std::stop_token& stop) override {
    Json::Value json;
    json["message_id"] = letter.id;
    json["gateway_id"] = gateway_;
    json["text"] = letter.text;
    json["alerts"] = Json::arrayValue;
    for (const auto& told : letter.told) json["alerts"].append(json_of(told));
    HttpRequest request{.url = letter.recipient,
                        .body = write(json),
                        .headers = {"Content-Type: application/json", "X-Wattd-Message: " + letter.id},
                        .ca_file = config_.ca_file};
    if (!config_.secret.empty()) {
      const auto time = std::chrono::system_clock::now().time_since_epoch() / 1s;
      const auto signature = hmac_sha256(config_.secret, fmt::format("{}.{}", time, request.body));
      request.headers.push_back(fmt::format("X-Wattd-Signature: t={},v1={}", time, signature));
    }
    const auto answer = post(request, stop);
    const auto what = answer.status == 0 ? answer.problem : fmt::format("{} {}", answer.status, answer.body);
    if (answer.status / 100 == 2) return {Outcome::Kind::sent, what, {}};
    // A receiver that is being set up answers with almost anything; only these say that it will never take this.
    const bool never = answer.status == 400 || answer.status == 410 || answer.status == 413 || answer.status == 422;
    return {never ? Outcome::Kind::refused : Outcome::Kind::retry, what, answer.retry_after};
  }

 private:
  WebhookConfig config_;
  std::string gateway_;
};

drivers::mqtt::Broker named(drivers::mqtt::Broker broker, const std::string& channel, const std::string& gateway) {
  if (broker.client_id.empty()) broker.client_id = fmt::format("wattd-{}-{}", gateway.substr(0, 8), channel);
  return broker;
}

class Mqtt final : public Channel {
 public:
  Mqtt(const ChannelConfig& config, std::string gateway)
      : topic_(config.mqtt.topic),
        gateway_(std::move(gateway)),
        writer_(named(config.mqtt.broker, config.id, gateway_), config.id) {}

  Outcome send(const Letter& letter, const std::stop_token& stop) override { return send_all({letter}, stop).front(); }

  std::vector<Outcome> send_all(const std::vector<Letter>& letters, const std::stop_token&) override {
    if (!writer_.is_connected()) return {letters.size(), {Outcome::Kind::retry, "the broker is not there", {}}};
    std::vector<drivers::mqtt::Writer::Text> texts;
    for (const auto& letter : letters) texts.push_back(text_of(letter));
    std::vector<Outcome> outcomes;
    for (auto& problem : writer_.publish_acknowledged(texts, kAcknowledged)) {
      if (problem.empty()) outcomes.push_back({Outcome::Kind::sent, "acknowledged by the broker", {}});
      else outcomes.push_back({Outcome::Kind::retry, std::move(problem), {}});
    }
    return outcomes;
  }

 private:
  drivers::mqtt::Writer::Text text_of(const Letter& letter) const {
    auto json = letter.told.empty() ? Json::Value(Json::objectValue) : json_of(letter.told.front());
    json["message_id"] = letter.id;
    json["gateway_id"] = gateway_;
    if (letter.told.empty()) json["text"] = letter.text;
    const auto device = letter.told.empty() ? std::string("test") : letter.told.front().alert.device_id;
    return {topic_ + "/" + device, write(json)};
  }

  std::string topic_, gateway_;
  drivers::mqtt::Writer writer_;
};

}  // namespace

std::unique_ptr<Channel> webhook_channel(const WebhookConfig& config, const std::string& gateway_id) {
  return std::make_unique<Webhook>(config, gateway_id);
}
std::unique_ptr<Channel> mqtt_channel(const ChannelConfig& config, const std::string& gateway_id) {
  return std::make_unique<Mqtt>(config, gateway_id);
}

}  // namespace wattd::notify
