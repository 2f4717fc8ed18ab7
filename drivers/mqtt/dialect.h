#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/mqtt/payload.h"
#include "drivers/mqtt/subscription.h"
#include "telemetry/message.h"

namespace wattd::drivers::mqtt {

inline constexpr double kPerWattHour = .001;  ///< kWh

/// Something to be said to a publisher.
struct Command {
  std::string topic;
  std::string payload;
  std::string source;  ///< The connection by which the publisher was heard.
};

/// How one kind of publisher speaks. Threads: one.
class Dialect {
 public:
  virtual ~Dialect() = default;
  /// What a message says, each device's reading by itself; nothing where it says something that is no telemetry.
  /// Errors: permanent, with what is wrong and where.
  virtual Result<std::vector<Decoded>> decode(std::string_view topic, std::string_view payload) = 0;
  /// The same of a message that was set aside earlier: out of its turn. Errors: as of decode().
  virtual Result<std::vector<Decoded>> decode_again(std::string_view topic, std::string_view payload) {
    return decode(topic, payload);
  }
  /// What the publishers should be told, once.
  virtual std::vector<Command> take_commands() { return {}; }
  /// Whose message it is, as far as the topic tells.
  virtual std::optional<std::string> device_in(std::string_view topic) const = 0;
};

/// What most messages say: one reading, unless it has no fields.
inline std::vector<Decoded> only(Decoded decoded) {
  std::vector<Decoded> all;
  if (!decoded.reading.fields.empty()) all.push_back(std::move(decoded));
  return all;
}
inline std::vector<Decoded> nothing() { return {}; }

/// A kind of publisher that is known out of the box.
struct Publisher {
  std::string_view name;
  std::vector<std::string_view> filters;
  std::unique_ptr<Dialect> (*make)();
};
const std::vector<Publisher>& publishers();

std::unique_ptr<Dialect> plain(std::string filter);
std::unique_ptr<Dialect> mapped(Mapping mapping);
std::unique_ptr<Dialect> tasmota();
std::unique_ptr<Dialect> shelly_gen1();
std::unique_ptr<Dialect> shelly();
std::unique_ptr<Dialect> zigbee2mqtt();
std::unique_ptr<Dialect> wirenboard();
std::unique_ptr<Dialect> openwb();
std::unique_ptr<Dialect> sparkplug_b();

/// Reads messages in the dialect of the first subscription of their connection that their topic fits. Threads: one.
class TopicReader {
 public:
  explicit TopicReader(std::vector<Subscription> subscriptions);

  /// again: it was set aside earlier, and is out of its turn.
  Result<std::vector<Decoded>> decode(const Message& message, bool again = false);
  /// What publishers should be told after the messages so far.
  std::vector<Command> take_commands();
  std::optional<std::string> device_in(const Message& message) const;

 private:
  struct Entry {
    std::string source;
    std::string filter;
    std::unique_ptr<Dialect> dialect;
  };
  Dialect* dialect_of(const Message& message) const;

  std::vector<Entry> entries_;
  std::unique_ptr<Dialect> fallback_;  ///< For what was subscribed to before.
};

}  // namespace wattd::drivers::mqtt
