#pragma once
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "notify/channel.h"
#include "notify/mailbox.h"
#include "storage/group.h"
#include "storage/reader.h"
#include "telemetry/clock.h"

namespace wattd::notify {

/// Where deliveries are written down; the pipeline's writer does it. Threads: any.
class Desk {
 public:
  virtual ~Desk() = default;
  /// On the disk when it returns. Errors: of the store, or retry when the pipeline is busy.
  virtual Result<void> put(storage::Changes changes) = 0;
  /// With the next group that is committed.
  virtual void note(storage::Changes changes) = 0;
};

/// An announcement, with the alert as it was then where that is at hand.
struct Announced {
  Announcement announcement;
  std::optional<Alert> alert;
};

struct ChannelStatus {
  std::string id;
  std::string kind;
  std::size_t waiting = 0;
  std::uint64_t sent = 0;
  std::uint64_t failed = 0;  ///< Given up, refused or bounced.
  std::string last_error;    ///< Empty while it works.
};

/// Carries what is announced on one channel to its recipients. A delivery is on the disk before it is tried, and so is
/// that it is being tried: after a crash it is tried again, and the log says that the first answer was lost.
/// What machines get over MQTT is not grouped, nor written down before: there the outbox itself is the mark.
/// Threads: run() and step() one; hand_over() and status() any; test() any, one at a time.
class Courier {
 public:
  Courier(ChannelConfig config, std::string gateway_id, const std::string& database, storage::Vault vault, Desk& desk,
          const Clock& clock);

  /// What a former run has left, then what comes.
  void begin(std::vector<Announced> announced, std::vector<Delivery> pending);
  void hand_over(std::vector<Announced> announced);
  void run(const std::stop_token& stop);
  /// Does what can be done now. Returns when to look again at the latest.
  Instant step(const std::stop_token& stop);

  /// A message that says it is a test, to one recipient or to all. Errors: what the provider said.
  Result<std::string> test(const std::string& recipient, const std::stop_token& stop);
  ChannelStatus status() const;
  const ChannelConfig& config() const { return config_; }

 private:
  void expand(std::vector<Announced> announced, storage::Changes& changes);
  void tell_at_once(std::vector<Announced> announced, const std::stop_token& stop);
  std::vector<std::string> recipients_for(const Alert& alert);
  std::optional<Alert> alert_of(const std::string& id);
  std::optional<Rule> rule_of(const std::string& id);
  std::string rule_name(const std::string& id);
  Letter letter_of(const std::vector<Delivery>& batch);
  void deliver(std::vector<Delivery> batch, storage::Changes changes, const std::stop_token& stop);
  std::vector<Outcome> send_safely(const std::vector<Letter>& letters, const std::stop_token& stop);
  std::vector<Outcome> send_those_that_say_something(const std::vector<Letter>& messages, const std::stop_token& stop);
  void write_into(std::vector<Delivery>& letter, const Outcome& outcome) const;
  void conclude(std::vector<Delivery> done, std::vector<Delivery> left, std::optional<std::chrono::seconds> after);
  void note(const Outcome& outcome, std::size_t deliveries);
  Moment moment() const { return {clock_.now(), clock_.monotonic()}; }

  const ChannelConfig config_;
  const std::string gateway_id_;
  Desk& desk_;
  const Clock& clock_;
  storage::Reader reader_;
  std::unique_ptr<Channel> channel_;
  Mailbox mailbox_;
  std::map<std::string, std::string> rule_names_;  ///< By id.
  std::optional<Instant> retry_at_;                ///< What could not be written down yet.
  storage::Changes unwritten_;
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Announced> waiting_;  ///< Guarded by mutex_.
  std::vector<Delivery> left_;      ///< Guarded by mutex_.
  ChannelStatus status_;            ///< Guarded by mutex_.
};

}  // namespace wattd::notify
