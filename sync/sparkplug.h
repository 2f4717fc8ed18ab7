#pragma once
#include <memory>
#include <span>
#include <string>

#include "drivers/mqtt/writer.h"
#include "sync/mqtt.h"

namespace wattd::sync {

/// The gateway as an edge node of Sparkplug B: its devices are devices, their fields metrics, which are named in births
/// and have aliases after that. Readings that are not live are marked as historical.
/// Source: Eclipse Sparkplug 3.0.0; docs/formats/mqtt.md says where the sink differs.
std::unique_ptr<Sink> sparkplug_sink(MqttSinkConfig config, const std::string& gateway, const std::string& id);

/// Bytes of messages at QoS 1, with the broker's answers.
std::uint64_t traffic_of(std::span<const drivers::mqtt::Writer::Text> messages);

/// Whether a broker takes the connection: one line for people.
std::expected<std::string, NotTaken> probe_broker(const drivers::mqtt::Writer& writer, const std::string& target,
                                                  const std::stop_token& stop);

}  // namespace wattd::sync
