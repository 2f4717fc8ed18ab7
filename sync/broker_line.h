#pragma once
#include <chrono>
#include <functional>
#include <span>
#include <stop_token>
#include <string>

#include "drivers/mqtt/writer.h"
#include "sync/sink.h"

namespace wattd::sync {

/// A connection to a broker, as sinks need it. Threads: one.
class BrokerLine {
 public:
  using Text = drivers::mqtt::Writer::Text;
  BrokerLine(const drivers::mqtt::Broker& broker, const std::string& id, std::chrono::milliseconds timeout,
             std::function<drivers::mqtt::Will()> will = {}, drivers::mqtt::Hearing hearing = {});

  /// Hands over messages in order, and waits for the broker's answers.
  Taken publish(std::span<const Text> messages, const std::stop_token& stop);
  std::string target() const { return target_; }
  std::uint64_t traffic() const { return traffic_; }
  /// A broker that was started anew may have forgotten what it has acknowledged.
  std::uint64_t breaks() const;
  Taken confirm() const;
  std::expected<std::string, NotTaken> probe(const std::stop_token& stop) const;
  /// How many connections there have been.
  std::uint64_t connections() const { return writer_.connections(); }
  void say(const drivers::mqtt::Will& last) { writer_.publish(last.topic, last.payload, last.retain); }

 private:
  const std::string target_;
  const std::chrono::milliseconds timeout_;
  std::uint64_t traffic_ = 0;
  drivers::mqtt::Writer writer_;
};

}  // namespace wattd::sync
