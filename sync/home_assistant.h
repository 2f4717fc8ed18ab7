#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "config/table.h"
#include "drivers/mqtt/writer.h"
#include "telemetry/clock.h"
#include "telemetry/device.h"
#include "telemetry/reading.h"

namespace wattd::sync {

/// Where Home Assistant listens, and what it is told.
struct HomeAssistantConfig {
  std::string id = "homeassistant";
  drivers::mqtt::Broker broker;
  std::string discovery = "homeassistant";  ///< The prefix of its discovery topics.
  std::string topic = "wattd";              ///< The prefix of ours.
  bool on_change = false;                   ///< A value is told of when it is another one, and once a heartbeat.
  std::chrono::seconds heartbeat{300};
  std::chrono::milliseconds least_apart{0};  ///< Between two values of one series.
  bool operator==(const HomeAssistantConfig&) const = default;
};

/// Reads one [[homeassistant]] table. Errors: throws config::ConfigError.
HomeAssistantConfig parse_home_assistant(const config::Table& table);

/// A series as Home Assistant has to know it.
struct Announced {
  Device device;
  std::string measurand;  ///< Empty where nobody knows.
};

/// The discovery message of a series: its topic and its payload; nothing for what is not announced: raw counters, whose
/// resets would be taken for energy, stand behind their adjusted ones.
/// Source: home-assistant.io, "MQTT discovery", "MQTT sensor".
struct Discovery {
  std::string topic, payload, state_topic;
};
std::optional<Discovery> discovery_of(const HomeAssistantConfig& config, const std::string& gateway_id,
                                      const Announced& series, const std::string& field, const Value& value);

/// Tells Home Assistant of our series and of their latest values. It is a view of now: what is said while the broker
/// is away is lost, and upstream stores get everything from their sinks.
/// Threads: offer() any; step() and run() one.
class HomeAssistant {
 public:
  using Describe = std::function<Announced(const std::string& device, const std::string& field)>;
  using Publish = std::function<void(const std::string& topic, const std::string& payload)>;
  using Readings = std::shared_ptr<const std::vector<Reading>>;

  /// Owns: nothing that `publish` writes to; every message is to be retained.
  HomeAssistant(HomeAssistantConfig config, std::string gateway_id, Describe describe, Publish publish,
                const Clock& clock);

  /// Hands over what was committed; the oldest of more than a hundred groups that wait is dropped.
  void offer(Readings readings);
  /// The connection is new: everything is announced again.
  void connected();
  void run(const std::stop_token& stop);
  /// Says what waits to be said.
  void step();

  std::string availability_topic() const;
  const HomeAssistantConfig& config() const { return config_; }

 private:
  struct Said {
    std::string state_topic;  ///< Empty for what is not announced.
    std::string text;
    Instant at{};
  };
  void say(const Reading& reading, Instant now);

  const HomeAssistantConfig config_;
  const std::string gateway_id_;
  const Describe describe_;
  const Publish publish_;
  const Clock& clock_;
  std::map<std::pair<std::string, std::string>, Said> said_;  ///< By device and field.
  std::mutex mutex_;
  std::condition_variable_any arrived_;
  std::deque<Readings> waiting_;  ///< Guarded by mutex_.
  bool is_new_ = true;            ///< Guarded by mutex_: nothing was announced on this connection.
};

}  // namespace wattd::sync
