#pragma once
#include <memory>
#include <string>

#include "config/table.h"
#include "drivers/mqtt/client.h"
#include "sync/sink.h"

namespace wattd::sync {

/// A broker that readings go to, one message each: mosquitto, EMQX, AWS IoT.
struct MqttSinkConfig {
  drivers::mqtt::Broker broker;
  std::string topic = "wattd/{gateway}/{device}/telemetry";
  std::chrono::milliseconds timeout{30'000};  ///< For the broker's answers to one batch.
};

/// Reads the keys of an mqtt sink from its [[sinks]] table. Errors: throws config::ConfigError.
MqttSinkConfig parse_mqtt_sink(const config::Table& table);

std::unique_ptr<Sink> mqtt_sink(MqttSinkConfig config, std::string gateway, const std::string& id);

}  // namespace wattd::sync
