#include "sync/mqtt.h"

#include <fmt/format.h>

#include "sync/broker_line.h"
#include "sync/placeholders.h"
#include "sync/sparkplug.h"
#include "telemetry/json_text.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

class MqttSink final : public Sink {
 public:
  MqttSink(MqttSinkConfig config, const std::string& gateway, const std::string& id, Stream stream)
      : topic_(filled(filled(stream == Stream::readings ? config.topic : config.stream_topic, "{gateway}", gateway),
                      "{stream}", to_string(stream))),
        line_(config.broker, id, config.timeout) {}

  std::string pack(std::span<const Outgoing>) const override { return {}; }
  bool packs() const override { return false; }
  Taken deliver(std::string_view, std::span<const Outgoing> batch, const std::stop_token& stop) override {
    std::vector<BrokerLine::Text> messages;
    for (const auto& outgoing : batch)
      messages.push_back({filled(topic_, "{device}", outgoing.device_id()), to_json(outgoing.reading())});
    return line_.publish(messages, stop);
  }

  std::string target() const override { return line_.target(); }
  std::uint64_t traffic() const override { return line_.traffic(); }
  std::uint64_t breaks() const override { return line_.breaks(); }
  Taken confirm(const std::stop_token&) override { return line_.confirm(); }
  std::expected<std::string, NotTaken> probe(const std::stop_token& stop) override { return line_.probe(stop); }

 private:
  const std::string topic_;
  BrokerLine line_;
};

}  // namespace

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
