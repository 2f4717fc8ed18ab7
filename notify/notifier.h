#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "notify/courier.h"
#include "storage/store.h"

namespace wattd::notify {

/// All channels: hands each what is announced on it, and says of what is announced on none that nobody was told.
/// Threads: any.
class Notifier {
 public:
  /// `relays` are channels that a relay stands for, `database` is the one that the desk writes to.
  Notifier(const std::vector<ChannelConfig>& channels, std::vector<std::string> relays, const std::string& gateway_id,
           const std::string& database, const storage::Vault& vault, Desk& desk, const Clock& clock);

  /// What stood in the database when channels began to listen.
  void begin(const std::vector<Announcement>& announced, const std::vector<Delivery>& pending);
  /// What was committed; nothing before begin(), which finds it in the database. Threads: that of begin().
  void tell(const std::vector<Announcement>& announced, const std::vector<Alert>& alerts);

  Result<std::string> test(const std::string& channel, const std::string& recipient);
  std::vector<ChannelStatus> status() const;
  std::vector<std::unique_ptr<Courier>>& couriers() { return couriers_; }

 private:
  void say_nobody_was_told(const std::vector<Announced>& announced);

  Desk& desk_;
  const Clock& clock_;
  std::vector<std::string> relays_;
  std::vector<std::unique_ptr<Courier>> couriers_;
  std::mutex testing_;
  std::atomic<bool> has_begun_{false};
};

}  // namespace wattd::notify
