#pragma once
#include <memory>
#include <string>

#include "config/table.h"
#include "drivers/mqtt/client.h"
#include "sync/sink.h"
#include "sync/stream.h"

namespace wattd::sync {

/// A broker that readings go to, one message each: mosquitto, EMQX, AWS IoT.
struct MqttSinkConfig {
  drivers::mqtt::Broker broker;
  enum class Form { json, sparkplug } form = Form::json;
  std::string topic = "wattd/{gateway}/{device}/telemetry";
  std::string stream_topic = "wattd/{gateway}/{stream}/{device}";  ///< Of what goes beside readings.
  std::string group = "wattd", node;                               ///< Of Sparkplug; no node: the gateway's id.
  std::chrono::milliseconds timeout{30'000};                       ///< For the broker's answers to one batch.
};

/// Reads the keys of an mqtt sink from its [[sinks]] table. Errors: throws config::ConfigError.
MqttSinkConfig parse_mqtt_sink(const config::Table& table);

std::unique_ptr<Sink> mqtt_sink(MqttSinkConfig config, std::string gateway, const std::string& id, Stream stream);

}  // namespace wattd::sync
