#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/mqtt/client.h"

namespace wattd::drivers::mqtt {

/// What is left at the broker for the time when the connection breaks.
struct Will {
  std::string topic;
  std::string payload;
  bool retain = true;
};

/// What a writer listens to beside.
struct Hearing {
  std::string topic;
  std::function<void(std::string_view payload)> heard;  ///< On the library's thread.
};

/// Says things to a broker, over a connection of its own: a write on the one that reads would acknowledge what is not
/// committed yet. The library's thread connects, and again whenever the connection is lost; what is said meanwhile is
/// lost. Threads: any.
class Writer {
 public:
  /// `will` is asked before each connection. `on_connect` runs on the library's thread whenever one stands, and may
  /// publish.
  /// Errors: throws std::runtime_error for a client id or TLS files that cannot be used.
  Writer(Broker broker, const std::string& name, std::function<Will()> will = {},
         std::function<void(Writer&)> on_connect = {}, Hearing hearing = {});
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void publish(const std::string& topic, const std::string& payload, bool retain = false);
  struct Text {
    std::string topic, payload;
  };
  /// At QoS 1, all of them in order, and waits for the broker's answers; one caller after the other.
  /// Returns of each why there was none; empty when there was. What is lost on the way may still be sent by the
  /// library.
  std::vector<std::string> publish_acknowledged(const std::vector<Text>& texts, std::chrono::milliseconds patience);
  bool is_connected() const { return connected_; }
  /// How many connections there have been.
  std::uint64_t connections() const { return connections_; }

 private:
  struct Callbacks;

  Broker broker_;
  std::string name_;
  void leave_will();

  std::function<Will()> will_;
  std::function<void(Writer&)> on_connect_;
  Hearing hearing_;
  std::atomic<bool> connected_{false};
  std::atomic<std::uint64_t> connections_{0};
  std::mutex turn_;
  std::mutex mutex_;
  std::condition_variable answered_;
  bool awaits_ = false;  ///< Guarded by mutex_, as is the next: answers matter.
  std::set<int> answers_;
  Client client_;
};

}  // namespace wattd::drivers::mqtt
