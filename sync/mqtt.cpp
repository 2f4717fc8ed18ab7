#include "sync/mqtt.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "drivers/mqtt/writer.h"
#include "telemetry/json_text.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kConnect = 10s;
constexpr std::size_t kAtOnce = 200;  // messages whose answers are waited for together

/// `text` in place of `{name}`.
std::string filled(std::string topic, std::string_view name, std::string_view text) {
  const auto place = topic.find(name);
  return place == std::string::npos ? topic : topic.replace(place, name.size(), text);
}

class MqttSink final : public Sink {
 public:
  MqttSink(MqttSinkConfig config, std::string gateway, const std::string& id)
      : config_(std::move(config)),
        gateway_(std::move(gateway)),
        topic_(filled(config_.topic, "{gateway}", gateway_)),
        writer_(config_.broker, id) {}

  std::string pack(std::span<const Outgoing>) const override { return {}; }
  bool packs() const override { return false; }
  Taken deliver(std::string_view, std::span<const Outgoing> batch, const std::stop_token& stop) override {
    for (; !batch.empty(); batch = batch.subspan(std::min(kAtOnce, batch.size()))) {
      if (stop.stop_requested()) return fail(ErrorKind::retry, "stopping");
      if (!writer_.is_connected()) return fail(ErrorKind::retry, target() + ": not connected");
      std::vector<drivers::mqtt::Writer::Text> messages;
      for (const auto& outgoing : batch.first(std::min(kAtOnce, batch.size())))
        messages.push_back({filled(topic_, "{device}", outgoing.device_id()), to_json(outgoing.reading())});
      for (const auto& problem : writer_.publish_acknowledged(messages, config_.timeout)) {
        if (!problem.empty()) return fail(ErrorKind::retry, fmt::format("{}: {}", target(), problem));
      }
    }
    return {};
  }

  std::string target() const override { return config_.broker.address(); }

  std::expected<std::string, NotTaken> probe(const std::stop_token& stop) override {
    for (auto left = kConnect; left > 0ms && !writer_.is_connected() && !stop.stop_requested(); left -= 50ms)
      std::this_thread::sleep_for(50ms);
    if (!writer_.is_connected()) return fail(ErrorKind::retry, target() + ": not connected; the journal may say why");
    return target() + " has taken the connection";
  }

 private:
  const MqttSinkConfig config_;
  const std::string gateway_;
  const std::string topic_;
  drivers::mqtt::Writer writer_;
};

}  // namespace

MqttSinkConfig parse_mqtt_sink(const config::Table& table) {
  MqttSinkConfig mqtt{.broker = drivers::mqtt::parse_broker(table)};
  mqtt.topic = table.text("topic", mqtt.topic);
  if (mqtt.topic.find("{device}") == std::string::npos || mqtt.topic.find_first_of("+#") != std::string::npos)
    table.fail("topic", "expected levels of a topic with {device} in it, such as wattd/{gateway}/{device}/telemetry");
  mqtt.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(table.duration("timeout", 1s, 5min, 30s));
  return mqtt;
}

std::unique_ptr<Sink> mqtt_sink(MqttSinkConfig config, std::string gateway, const std::string& id) {
  if (config.broker.client_id.empty()) config.broker.client_id = fmt::format("wattd-{}-{}", gateway.substr(0, 8), id);
  return std::make_unique<MqttSink>(std::move(config), std::move(gateway), id);
}

}  // namespace wattd::sync
