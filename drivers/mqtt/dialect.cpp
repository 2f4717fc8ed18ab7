#include "drivers/mqtt/dialect.h"

#include <algorithm>

#include "drivers/mqtt/levels.h"

namespace wattd::drivers::mqtt {
namespace {

/// The gateway's own telemetry: a JSON object whose members are the fields; the filter's first + is the device.
class Plain final : public Dialect {
 public:
  explicit Plain(std::string filter) : filter_(std::move(filter)) {}

  Result<std::vector<Decoded>> decode(std::string_view topic, std::string_view payload) override {
    auto decoded = decoder_.decode(payload);
    if (!decoded) return std::unexpected(decoded.error());
    auto& id = decoded->reading.device_id;
    const auto in_topic = device_in(topic);
    if (id.empty() && in_topic) id = *in_topic;
    std::vector<Decoded> all;
    all.push_back(std::move(*decoded));
    return all;
  }
  std::optional<std::string> device_in(std::string_view topic) const override {
    const auto device = device_in_topic(filter_, topic);
    return device ? std::optional(std::string(*device)) : std::nullopt;
  }

 private:
  std::string filter_;
  PayloadDecoder decoder_;
};

}  // namespace

std::unique_ptr<Dialect> plain(std::string filter) { return std::make_unique<Plain>(std::move(filter)); }

const std::vector<Publisher>& publishers() {
  static const std::vector<Publisher> all{
      {"tasmota", {"tele/+/SENSOR", "+/tele/SENSOR"}, tasmota},
      {"shelly-gen1", {"shellies/+/emeter/+/+", "shellies/+/relay/+/+", "shellies/+/meter/+/+"}, shelly_gen1},
      {"shelly", {"+/events/rpc"}, shelly},
      {"shelly-status", {"+/status/+"}, shelly},
      {"zigbee2mqtt", {"zigbee2mqtt/#"}, zigbee2mqtt},
      {"wirenboard", {"/devices/+/controls/+"}, wirenboard},
      {"openwb", {"openWB/+/+/get/+", "openWB/mqtt/+/+/get/+"}, openwb},
      {"sparkplug", {"spBv1.0/#"}, sparkplug_b},
  };
  return all;
}

TopicReader::TopicReader(std::vector<Subscription> subscriptions) : fallback_(plain("#")) {
  for (auto& subscription : subscriptions) {
    const auto known = std::ranges::find(publishers(), subscription.publisher, &Publisher::name);
    auto dialect = known != publishers().end()           ? known->make()
                   : subscription.publisher == "mapping" ? mapped(subscription.mapping)
                                                         : plain(without_share(subscription.filter));
    entries_.push_back({std::move(subscription.source), std::move(subscription.filter), std::move(dialect)});
  }
}

Dialect* TopicReader::dialect_of(const Message& message) const {
  // What one connection's publishers say means nothing on another; what came by one that is gone fits any.
  for (const bool own : {true, false}) {
    for (const auto& entry : entries_) {
      if ((!own || entry.source == message.source) && matches(entry.filter, message.topic)) return entry.dialect.get();
    }
  }
  return fallback_.get();
}

Result<std::vector<Decoded>> TopicReader::decode(const Message& message, bool again) {
  auto& dialect = *dialect_of(message);
  return again ? dialect.decode_again(message.topic, message.payload) : dialect.decode(message.topic, message.payload);
}

std::vector<Command> TopicReader::take_commands() {
  std::vector<Command> all;
  for (const auto& entry : entries_) {
    for (auto& command : entry.dialect->take_commands()) {
      command.source = entry.source;
      all.push_back(std::move(command));
    }
  }
  return all;
}

std::optional<std::string> TopicReader::device_in(const Message& message) const {
  return dialect_of(message)->device_in(message.topic);
}

}  // namespace wattd::drivers::mqtt
