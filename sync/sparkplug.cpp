#include "sync/sparkplug.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>

#include "sparkplug_b.pb.h"
#include "sync/broker_line.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;
using drivers::mqtt::Will;
using Text = BrokerLine::Text;
namespace pb = drivers::mqtt::sparkplug;

constexpr auto kHistorical = 1min;  // what is older is no current value
constexpr std::string_view kRebirth = "Node Control/Rebirth";

/// Data types by their numbers. Source: Sparkplug 3.0.0, section 6.4.16.
enum Type : std::uint32_t { int64 = 4, real = 10, boolean = 11, text = 12 };

Type type_of(const Value& value) {
  if (std::holds_alternative<bool>(value)) return boolean;
  return std::holds_alternative<std::string>(value) ? text : real;
}

std::uint64_t milliseconds(Timestamp at) { return static_cast<std::uint64_t>(to_unix_us(at) / 1000); }

/// What a device's birth has said of a field.
struct Metric {
  std::uint64_t alias = 0;
  Type type = real;
};

class SparkplugSink final : public Sink {
 public:
  SparkplugSink(MqttSinkConfig config, const std::string& gateway, const std::string& id)
      : config_(std::move(config)),
        node_(config_.node.empty() ? gateway : config_.node),
        line_(config_.broker, id, config_.timeout, [this] { return next_death(); },
              {topic("NCMD"), [this](std::string_view payload) { obey(payload); }}) {}

  ~SparkplugSink() override {
    // A connection that is closed in order leaves no will. Who was never born does not die.
    if (born_in_ != 0) line_.say(death(session_));
  }

  std::string pack(std::span<const Outgoing>) const override { return {}; }
  bool packs() const override { return false; }

  Taken deliver(std::string_view, std::span<const Outgoing> batch, const std::stop_token& stop) override {
    if (auto there = line_.confirm(); !there) return there;
    const auto connection = line_.connections();
    std::vector<Text> messages;
    bear_if_due(connection, messages);
    for (const auto& outgoing : batch) {
      const auto reading = outgoing.reading();
      if (needs_birth(reading)) bear(reading, messages);
      messages.push_back({topic("DDATA", reading.device_id), data_of(reading)});
    }
    auto taken = line_.publish(messages, stop);
    // What the host has missed in between it can tell by the births alone.
    if (taken && line_.connections() != connection) taken = fail(ErrorKind::retry, target() + ": connected anew");
    if (!taken) born_in_ = 0;
    return taken;
  }

  /// A host that has asked for births does not wait until somebody says something.
  void tend(const std::stop_token& stop) override {
    if (!wants_rebirth_ || born_in_ == 0 || !line_.confirm()) return;
    std::vector<Text> messages;
    bear_if_due(line_.connections(), messages);
    if (!line_.publish(messages, stop)) born_in_ = 0;
  }

  std::string target() const override { return line_.target(); }
  std::uint64_t traffic() const override { return line_.traffic(); }
  std::uint64_t breaks() const override { return line_.breaks(); }
  Taken confirm(const std::stop_token&) override { return line_.confirm(); }
  std::expected<std::string, NotTaken> probe(const std::stop_token& stop) override { return line_.probe(stop); }

 private:
  std::string topic(std::string_view kind) const { return fmt::format("spBv1.0/{}/{}/{}", config_.group, kind, node_); }
  std::string topic(std::string_view kind, std::string_view device) const {
    std::string level(device);
    std::ranges::replace_if(level, [](char c) { return c == '+' || c == '#' || c == '/'; }, '_');
    return fmt::format("{}/{}", topic(kind), level);
  }

  Will death(std::uint64_t session) const {
    pb::Payload payload;
    payload.set_timestamp(
        milliseconds(std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now())));
    add_session(payload, session);
    return {topic("NDEATH"), payload.SerializeAsString(), false};
  }
  /// Of the connection that comes next.
  Will next_death() { return death(++session_); }

  static void add_session(pb::Payload& payload, std::uint64_t session) {
    auto* const metric = payload.add_metrics();
    metric->set_name("bdSeq");
    metric->set_datatype(int64);
    metric->set_long_value(session);
  }

  std::uint64_t next_seq() { return std::exchange(seq_, (seq_ + 1) % 256); }

  void bear_if_due(std::uint64_t connection, std::vector<Text>& messages) {
    const bool is_asked = wants_rebirth_.exchange(false);
    if (is_asked || connection != born_in_) bear_all(messages);
    born_in_ = connection;
  }

  /// The node, and every device that has said something.
  void bear_all(std::vector<Text>& messages) {
    seq_ = 0;
    pb::Payload payload;
    const auto now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
    payload.set_timestamp(milliseconds(now));
    payload.set_seq(next_seq());
    add_session(payload, session_);
    auto* const rebirth = payload.add_metrics();
    rebirth->set_name(std::string(kRebirth));
    rebirth->set_datatype(boolean);
    rebirth->set_boolean_value(false);
    messages.push_back({topic("NBIRTH"), payload.SerializeAsString()});
    for (const auto& [device, metrics] : devices_) messages.push_back(birth_of(device, now));
  }

  bool needs_birth(const Reading& reading) const {
    const auto device = devices_.find(reading.device_id);
    return device == devices_.end() || std::ranges::any_of(reading.fields, [&](const Field& field) {
             const auto known = device->second.find(field.name);
             return known == device->second.end() || known->second.type != type_of(field.value);
           });
  }

  void bear(const Reading& reading, std::vector<Text>& messages) {
    auto& metrics = devices_[reading.device_id];
    for (const auto& field : reading.fields) {
      auto& metric = metrics.try_emplace(field.name, Metric{0, real}).first->second;
      if (metric.alias == 0) metric.alias = ++last_alias_;
      metric.type = type_of(field.value);
    }
    messages.push_back(birth_of(reading.device_id, reading.at));
  }

  /// Names every field of the device that is known; the values follow as data, with their own stamps.
  Text birth_of(const std::string& device, Timestamp at) {
    pb::Payload payload;
    payload.set_timestamp(milliseconds(at));
    payload.set_seq(next_seq());
    for (const auto& [name, metric] : devices_[device]) {
      auto* const added = payload.add_metrics();
      added->set_name(name);
      added->set_alias(metric.alias);
      added->set_timestamp(milliseconds(at));
      added->set_datatype(metric.type);
      added->set_is_null(true);
    }
    return {topic("DBIRTH", device), payload.SerializeAsString()};
  }

  std::string data_of(const Reading& reading) {
    pb::Payload payload;
    const auto stamp = milliseconds(reading.at);
    payload.set_timestamp(stamp);
    payload.set_seq(next_seq());
    const bool is_old = std::chrono::system_clock::now() - reading.at > kHistorical;
    const auto& metrics = devices_[reading.device_id];
    for (const auto& field : reading.fields) {
      const auto& known = metrics.at(field.name);
      auto* const metric = payload.add_metrics();
      metric->set_alias(known.alias);
      metric->set_timestamp(stamp);
      metric->set_datatype(known.type);
      if (is_old) metric->set_is_historical(true);
      if (const auto* flag = std::get_if<bool>(&field.value)) metric->set_boolean_value(*flag);
      else if (const auto* words = std::get_if<std::string>(&field.value)) metric->set_string_value(*words);
      else metric->set_double_value(as_number(field.value).value_or(0));
    }
    return payload.SerializeAsString();
  }

  /// A host that has missed something asks for all births.
  void obey(std::string_view payload) {
    pb::Payload command;
    if (!command.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) return;
    for (const auto& metric : command.metrics()) {
      if (metric.name() == kRebirth && metric.boolean_value()) wants_rebirth_ = true;
    }
  }

  const MqttSinkConfig config_;
  const std::string node_;
  std::map<std::string, std::map<std::string, Metric>> devices_;  ///< Born, with what their births have said.
  std::uint64_t seq_ = 0, last_alias_ = 0;
  std::uint64_t born_in_ = 0;  ///< The connection in which the node was born; 0: in none.
  /// Tells a death from the one of an earlier connection; begins anew with the process, at a time of its own.
  std::atomic<std::uint64_t> session_{
      static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch() / 1s) << 8};
  std::atomic<bool> wants_rebirth_{false};
  BrokerLine line_;  ///< Last: its thread uses the rest.
};

}  // namespace

std::unique_ptr<Sink> sparkplug_sink(MqttSinkConfig config, const std::string& gateway, const std::string& id) {
  return std::make_unique<SparkplugSink>(std::move(config), gateway, id);
}

}  // namespace wattd::sync
