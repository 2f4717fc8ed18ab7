#pragma once
#include <atomic>
#include <memory>
#include <string>

struct mosquitto;

namespace wattd::simulator {

/// Publishes at QoS 1 (or 0) and knows what the broker has taken.
/// Threads: one publishes; the library's own thread moves the bytes.
class Publisher {
 public:
  struct Broker {
    std::string host = "127.0.0.1";
    int port = 1883;
    std::string username, password, ca_file;
    std::string client_id = "wattsim";
  };
  /// Connects. Errors: throws std::runtime_error.
  explicit Publisher(const Broker& broker);
  ~Publisher();

  /// Waits while too much is under way.
  void publish(const std::string& topic, const std::string& payload, int qos, bool retain = false);
  /// Waits until the broker has taken everything; false when it did not in time.
  bool drain(int seconds);
  std::uint64_t acknowledged() const { return acknowledged_; }

 private:
  struct Callbacks;
  struct Free {
    void operator()(mosquitto* client) const;
  };
  std::unique_ptr<mosquitto, Free> client_;
  std::atomic<std::uint64_t> published_{0};
  std::atomic<std::uint64_t> acknowledged_{0};
};

}  // namespace wattd::simulator
