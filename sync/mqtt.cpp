#include "sync/mqtt.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "drivers/mqtt/writer.h"
#include "sync/sparkplug.h"
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
  MqttSink(MqttSinkConfig config, const std::string& gateway, const std::string& id, Stream stream)
      : config_(std::move(config)),
        topic_(filled(filled(stream == Stream::readings ? config_.topic : config_.stream_topic, "{gateway}", gateway),
                      "{stream}", to_string(stream))),
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
      traffic_ += traffic_of(messages);
      for (const auto& problem : writer_.publish_acknowledged(messages, config_.timeout)) {
        if (!problem.empty()) return fail(ErrorKind::retry, fmt::format("{}: {}", target(), problem));
      }
    }
    return {};
  }

  std::string target() const override { return config_.broker.address(); }
  std::uint64_t traffic() const override { return traffic_; }
  /// A broker that was started anew may have forgotten what it has acknowledged.
  std::uint64_t breaks() const override { return std::max<std::uint64_t>(writer_.connections(), 1) - 1; }
  Taken confirm(const std::stop_token&) override {
    return writer_.is_connected() ? Taken() : fail(ErrorKind::retry, target() + ": not connected");
  }

  std::expected<std::string, NotTaken> probe(const std::stop_token& stop) override {
    return probe_broker(writer_, target(), stop);
  }

 private:
  const MqttSinkConfig config_;
  const std::string topic_;
  std::uint64_t traffic_ = 0;
  drivers::mqtt::Writer writer_;
};

}  // namespace

std::uint64_t traffic_of(std::span<const drivers::mqtt::Writer::Text> messages) {
  constexpr std::uint64_t kAround = 11;  // header, length of the topic, packet id, and the answer
  std::uint64_t bytes = 0;
  for (const auto& [topic, payload] : messages) bytes += topic.size() + payload.size() + kAround;
  return bytes;
}

std::expected<std::string, NotTaken> probe_broker(const drivers::mqtt::Writer& writer, const std::string& target,
                                                  const std::stop_token& stop) {
  for (auto left = kConnect; left > 0ms && !writer.is_connected() && !stop.stop_requested(); left -= 50ms)
    std::this_thread::sleep_for(50ms);
  if (!writer.is_connected()) return fail(ErrorKind::retry, target + ": not connected; the journal may say why");
  return target + " has taken the connection";
}

MqttSinkConfig parse_mqtt_sink(const config::Table& table) {
  MqttSinkConfig mqtt{.broker = drivers::mqtt::parse_broker(table)};
  mqtt.topic = table.text("topic", mqtt.topic);
  if (mqtt.topic.find("{device}") == std::string::npos || mqtt.topic.find_first_of("+#") != std::string::npos)
    table.fail("topic", "expected levels of a topic with {device} in it, such as wattd/{gateway}/{device}/telemetry");
  mqtt.form = table.choice<MqttSinkConfig::Form>(
      "form", {{"json", MqttSinkConfig::Form::json}, {"sparkplug", MqttSinkConfig::Form::sparkplug}},
      MqttSinkConfig::Form::json);
  mqtt.stream_topic = table.text("stream_topic", mqtt.stream_topic);
  if (mqtt.stream_topic.find("{device}") == std::string::npos ||
      mqtt.stream_topic.find("{stream}") == std::string::npos ||
      mqtt.stream_topic.find_first_of("+#") != std::string::npos)
    table.fail("stream_topic", "expected levels of a topic with {stream} and {device} in it");
  mqtt.group = table.text("group", mqtt.group);
  mqtt.node = table.text("node", "");
  for (const auto& [key, name] : {std::pair{"group", mqtt.group}, {"node", mqtt.node}}) {
    if (name.find_first_of("+#/") != std::string::npos) table.fail(key, "expected a name without +, # and /");
  }
  if (mqtt.group.empty()) table.fail("group", "expected a name");
  mqtt.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(table.duration("timeout", 1s, 5min, 30s));
  return mqtt;
}

std::unique_ptr<Sink> mqtt_sink(MqttSinkConfig config, std::string gateway, const std::string& id, Stream stream) {
  // A second connection of the same name would push the first one out at the broker.
  if (config.broker.client_id.empty()) config.broker.client_id = fmt::format("wattd-{}-{}", gateway.substr(0, 8), id);
  else if (stream != Stream::readings) config.broker.client_id += fmt::format("-{}", to_string(stream));
  if (config.form == MqttSinkConfig::Form::sparkplug) return sparkplug_sink(std::move(config), gateway, id);
  return std::make_unique<MqttSink>(std::move(config), gateway, id, stream);
}

}  // namespace wattd::sync
