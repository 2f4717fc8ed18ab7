#include "sync/home_assistant.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "telemetry/json_text.h"
#include "telemetry/measurand.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostWaiting = 100;
constexpr std::size_t kMostSeries = 100'000;

/// What Home Assistant calls a unit's quantity. Source: home-assistant.io, "Sensor device classes".
struct Class {
  std::string_view unit, theirs, device_class;
};
constexpr std::array<Class, 12> kClasses{{{"W", "W", "power"},
                                          {"kWh", "kWh", "energy"},
                                          {"V", "V", "voltage"},
                                          {"A", "A", "current"},
                                          {"Hz", "Hz", "frequency"},
                                          {"VA", "VA", "apparent_power"},
                                          {"var", "var", "reactive_power"},
                                          {"kvarh", "kvarh", "reactive_energy"},
                                          {"degC", "°C", "temperature"},
                                          {"m3", "m³", "volume"},
                                          {"m3/h", "m³/h", "volume_flow_rate"},
                                          {"h", "h", "duration"}}};

/// A name as a level of a topic and as a part of an id: letters, digits, - and _.
std::string plain_name(std::string_view text) {
  std::string name;
  for (const unsigned char c : text) {
    if (std::isalnum(c) != 0 || c == '-' || c == '_') name += static_cast<char>(c);
    else name += fmt::format("%{:02x}", c);
  }
  std::ranges::replace(name, '%', '_');
  return name;
}

std::string text_of(const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "ON" : "OFF";
  return to_text(value);
}

std::string quoted(std::string_view text) {
  std::string json;
  append_json(json, text);
  return json;
}

void add_member(std::string& json, std::string_view name, std::string_view text) {
  if (text.empty()) return;
  json += json.size() > 1 ? "," : "";
  json += quoted(name) + ":" + quoted(text);
}

/// Unit and classes of a number.
void add_classes(std::string& json, const std::string& measurand) {
  const auto known = find_measurand(measurand);
  if (known && measurand.starts_with("power_factor")) add_member(json, "device_class", "power_factor");
  const auto found = known ? std::ranges::find(kClasses, known->unit, &Class::unit) : kClasses.end();
  if (found != kClasses.end()) add_member(json, "device_class", found->device_class);
  if (found != kClasses.end()) add_member(json, "unit_of_measurement", found->theirs);
  else if (known && known->unit != "1") add_member(json, "unit_of_measurement", known->unit);
  add_member(json, "state_class", known && known->counter ? "total_increasing" : "measurement");
}

}  // namespace

HomeAssistantConfig parse_home_assistant(const config::Table& table) {
  HomeAssistantConfig config;
  config.id = table.text("id", config.id);
  config.broker = drivers::mqtt::parse_broker(table);
  const auto prefix = [&](const char* key, const std::string& fallback) {
    auto text = table.text(key, fallback);
    if (text.empty() || text.find_first_of("+#") != std::string::npos || text.ends_with('/'))
      table.fail(key, "expected levels of a topic such as " + fallback);
    return text;
  };
  config.discovery = prefix("discovery", config.discovery);
  config.topic = prefix("topic", config.topic);
  config.on_change = table.choice<bool>("report", {{"all", false}, {"change", true}}, false);
  if (table.has("heartbeat") && !config.on_change) table.fail("heartbeat", "is for report = \"change\"");
  config.heartbeat = std::chrono::duration_cast<std::chrono::seconds>(table.duration("heartbeat", 1s, 24h, 5min));
  config.least_apart = std::chrono::duration_cast<std::chrono::milliseconds>(table.duration("least_apart", 0s, 1h, 0s));
  table.reject_unknown_keys();
  return config;
}

std::optional<Discovery> discovery_of(const HomeAssistantConfig& config, const std::string& gateway_id,
                                      const Announced& series, const std::string& field, const Value& value) {
  const auto known = find_measurand(series.measurand);
  if (known && known->counter && known->is_energy() && !field.ends_with(kAdjusted)) return std::nullopt;
  const auto gateway = plain_name(gateway_id.substr(0, 8));
  const auto device = plain_name(series.device.id);
  const auto id = fmt::format("wattd_{}_{}_{}", gateway, device, plain_name(field));
  const bool is_flag = std::holds_alternative<bool>(value);
  Discovery found{.topic = fmt::format("{}/{}/{}/config", config.discovery, is_flag ? "binary_sensor" : "sensor", id),
                  .payload = "{",
                  .state_topic = fmt::format("{}/{}/{}/{}", config.topic, gateway, device, plain_name(field))};
  auto& json = found.payload;
  add_member(json, "name", field.ends_with(kAdjusted) ? field.substr(0, field.size() - kAdjusted.size()) : field);
  add_member(json, "unique_id", id);
  add_member(json, "state_topic", found.state_topic);
  add_member(json, "availability_topic", fmt::format("{}/{}/status", config.topic, gateway));
  if (is_number(value)) add_classes(json, series.measurand);
  std::string about = "{\"identifiers\":[" + quoted(fmt::format("wattd_{}_{}", gateway, device)) + "]";
  add_member(about, "name", series.device.name.empty() ? series.device.id : series.device.name);
  add_member(about, "manufacturer", series.device.manufacturer);
  add_member(about, "model", series.device.model);
  add_member(about, "suggested_area", series.device.location);
  json += ",\"device\":" + about + "}}";
  return found;
}

HomeAssistant::HomeAssistant(HomeAssistantConfig config, std::string gateway_id, Describe describe, Publish publish,
                             const Clock& clock)
    : config_(std::move(config)),
      gateway_id_(std::move(gateway_id)),
      describe_(std::move(describe)),
      publish_(std::move(publish)),
      clock_(clock) {}

std::string HomeAssistant::availability_topic() const {
  return fmt::format("{}/{}/status", config_.topic, plain_name(gateway_id_.substr(0, 8)));
}

void HomeAssistant::offer(Readings readings) {
  {
    const std::scoped_lock lock(mutex_);
    waiting_.push_back(std::move(readings));
    if (waiting_.size() > kMostWaiting) waiting_.pop_front();
  }
  arrived_.notify_one();
}

void HomeAssistant::connected() {
  const std::scoped_lock lock(mutex_);
  is_new_ = true;
}

void HomeAssistant::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    step();
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, stop, [this] { return !waiting_.empty(); });
  }
}

void HomeAssistant::step() {
  std::deque<Readings> groups;
  {
    const std::scoped_lock lock(mutex_);
    groups = std::exchange(waiting_, {});
    if (std::exchange(is_new_, false)) said_.clear();
  }
  for (const auto& group : groups) {
    for (const auto& reading : *group) say(reading, clock_.monotonic());
  }
}

void HomeAssistant::say(const Reading& reading, Instant now) {
  // What comes late is history; Home Assistant knows only now.
  if (reading.received - reading.at > config_.heartbeat) return;
  for (const auto& field : reading.fields) {
    const auto key = std::pair(reading.device_id, field.name);
    auto known = said_.find(key);
    if (known == said_.end()) {
      if (said_.size() >= kMostSeries) continue;
      known = said_.emplace(key, Said{}).first;
      const auto found =
          discovery_of(config_, gateway_id_, describe_(reading.device_id, field.name), field.name, field.value);
      if (found) publish_(found->topic, found->payload), known->second.state_topic = found->state_topic;
    }
    auto& said = known->second;
    if (said.state_topic.empty()) continue;
    auto text = text_of(field.value);
    const bool is_first = said.at == Instant{};
    if (!is_first && now - said.at < config_.least_apart) continue;
    if (!is_first && config_.on_change && text == said.text && now - said.at < config_.heartbeat) continue;
    publish_(said.state_topic, text);
    said.text = std::move(text), said.at = now;
  }
}

}  // namespace wattd::sync
