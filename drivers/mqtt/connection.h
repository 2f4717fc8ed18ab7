#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "config/table.h"
#include "drivers/intake.h"
#include "drivers/mqtt/client.h"
#include "drivers/mqtt/subscription.h"
#include "telemetry/clock.h"
#include "telemetry/progress.h"

namespace wattd::drivers::mqtt {

/// One broker to read from.
struct ConnectionConfig {
  std::string id = "mqtt";
  Broker broker;
  std::vector<Subscription> subscriptions{{"devices/+/telemetry"}};
  std::string filters_path;  ///< Where is kept what was subscribed to; empty for nowhere.
  int window = 20;           ///< The broker's in-flight window (mosquitto: max_inflight_messages).
  bool operator==(const ConnectionConfig&) const = default;
};

/// Reads one [[mqtt]] table. Errors: throws config::ConfigError.
ConnectionConfig parse_connection(const config::Table& table);

/// What a connection counts, for status and metrics. Threads: one writes, any reads.
struct ConnectionCounts {
  std::atomic<bool> connected{false};
  std::atomic<std::uint64_t> messages{0};
  std::atomic<std::uint64_t> retained_skipped{0};
  std::atomic<std::uint64_t> unwanted_skipped{0};  ///< Of topics that are not subscribed to any more.
  std::atomic<std::uint64_t> connects{0};
  std::atomic<std::uint64_t> full_pauses{0};  ///< Times the intake was full and reading stopped.
};

/// Subscribes with a persistent session at QoS 1 and acknowledges what has been committed, never before.
///
/// libmosquitto queues a PUBACK before it hands a message out, and any write sends every queued one. So this
/// connection runs the library's loop itself: it reads up to a cut, lets the intake commit, and only then writes.
/// Between the cut and the commit it neither reads nor writes; the broker and the kernel hold what comes.
/// Source: docs/decisions/0002-acknowledge-after-commit.md.
/// Threads: run() on its own; counts() any.
class Connection {
 public:
  Connection(ConnectionConfig config, std::chrono::milliseconds commit_interval, Intake& intake, const Clock& clock);
  ~Connection();

  /// Connects, reads and reconnects until told to stop.
  void run(const std::stop_token& stop);

  const ConnectionConfig& config() const { return config_; }
  const ConnectionCounts& counts() const { return counts_; }
  std::string last_error() const;

 private:
  struct Callbacks;

  void give_up_old_subscriptions();
  void keep_subscriptions();
  bool connect(const std::stop_token& stop);
  void serve(const std::stop_token& stop);
  enum class Arrival { lost, nothing, message };
  Arrival read_some(std::chrono::milliseconds patience);
  bool wants(const char* topic) const;
  bool must_cut(Instant now) const;
  std::chrono::milliseconds until_cut(Instant now) const;
  void gather(const std::stop_token& stop);
  bool has_half_a_window() const { return unacknowledged_ >= std::max(1, config_.window / 2); }
  /// Commits what was read and acknowledges it; false when the connection has to be dropped.
  bool acknowledge(const std::stop_token& stop);
  void hand_over();
  void set_error(std::string message);

  const ConnectionConfig config_;
  const std::chrono::milliseconds commit_interval_;
  Intake& intake_;
  const Clock& clock_;
  Client client_;
  ConnectionCounts counts_;
  mutable std::mutex error_mutex_;
  std::string error_;  ///< Guarded by error_mutex_.

  // The rest belongs to the thread in run().
  std::vector<Message> read_;  ///< Not handed to the intake yet.
  Intake::Ticket last_ticket_ = 0;
  int unacknowledged_ = 0;
  Instant first_unacknowledged_{};
  Instant last_arrival_{};
  Instant last_write_{};
  Instant cut_at_{};         ///< When what was read was last cut off to be committed.
  bool is_flooded_ = false;  ///< That was because half of the window was in hand.
  std::uint32_t epoch_ = 0;  ///< Unlike that of any other connect in this process.
  bool resumed_ = true;
  bool refused_ = false;
  bool accepted_ = false;  ///< The broker has answered the connect.
  std::size_t unanswered_subscriptions_ = 0;
  std::size_t unanswered_unsubscriptions_ = 0;
};

}  // namespace wattd::drivers::mqtt
