#pragma once
#include <optional>
#include <string>
#include <vector>

#include "api/collector.h"
#include "api/server.h"
#include "config/table.h"
#include "drivers/gpio/gpio.h"
#include "drivers/modbus/bus.h"
#include "drivers/mqtt/connection.h"
#include "drivers/replay/replay.h"
#include "notify/channel.h"
#include "pipeline/options.h"
#include "pipeline/registry.h"
#include "storage/store.h"
#include "sync/bundle_source.h"
#include "sync/home_assistant.h"
#include "sync/shipper.h"
#include "telemetry/gateway_clock.h"
#include "telemetry/log.h"

namespace wattd::daemon {

/// The whole configuration, checked.
struct Settings {
  std::string config_path;
  log::Level log_level = log::Level::info;
  ClockTrust clock_trust = ClockTrust::ntp;
  storage::Options storage;
  pipeline::Options pipeline;
  pipeline::RegistryConfig registry;
  api::ServerConfig api;
  std::vector<api::Collected> collected;
  std::vector<drivers::mqtt::ConnectionConfig> connections;
  std::vector<drivers::modbus::BusConfig> buses;
  std::vector<drivers::gpio::ChipConfig> chips;
  std::vector<drivers::replay::ReplayConfig> replays;
  std::vector<Rule> rules;
  std::vector<notify::ChannelConfig> channels;
  std::vector<sync::SinkConfig> sinks;
  std::vector<sync::HomeAssistantConfig> homes;
  std::optional<sync::BundleConfig> bundle;  ///< None: all of it stands in files.
};

/// Reads the file, the drop-ins in conf.d beside it, and what the bundle in use brings, or the one in
/// `bundle_directory`. A missing default file is an empty configuration: a gateway with nothing configured still
/// starts. Errors: throws config::ConfigError for the first thing that is wrong.
Settings load_settings(const std::string& path, bool must_exist, std::optional<std::string> bundle_directory = {});

/// Where bundles lie. Errors: as load_settings.
std::string bundle_directory(const std::string& path, bool must_exist);

/// What is amiss with the channels of a rule, which need not be there yet.
/// Errors: permanent for a recipient that its channel cannot reach.
Result<std::vector<std::string>> check_channels(const Rule& rule, const Settings& settings);

/// What a person would want to add next, each with how to.
std::vector<std::string> missing_parts(const Settings& settings);

}  // namespace wattd::daemon
