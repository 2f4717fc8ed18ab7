#pragma once
#include <memory>
#include <string>

#include "sync/mqtt.h"

namespace wattd::sync {

/// The gateway as an edge node of Sparkplug B: its devices are devices, their fields metrics, which are named in births
/// and have aliases after that. Readings that are not live are marked as historical.
/// Source: Eclipse Sparkplug 3.0.0; docs/formats/mqtt.md says where the sink differs.
std::unique_ptr<Sink> sparkplug_sink(MqttSinkConfig config, const std::string& gateway, const std::string& id);

}  // namespace wattd::sync
