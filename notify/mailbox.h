#pragma once
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "notify/channel.h"
#include "telemetry/calendar.h"

namespace wattd::notify {

/// Now, by both clocks: hours of the day go by the one, pauses by the other.
struct Moment {
  Timestamp now;
  Instant mono;
};

/// What waits to be told over one channel, and when it may be: a recipient gets a few messages at once and then one in
/// a while, with everything that has gathered; nobody is woken for what can wait; a provider that fails is tried again
/// ever more slowly.
/// Threads: one.
class Mailbox {
 public:
  Mailbox(Manners manners, Calendar calendar) : manners_(manners), calendar_(std::move(calendar)) {}

  void add(Delivery delivery, Severity severity, Moment moment);
  /// What goes to one recipient now; it is out of the box until it is put back.
  std::optional<std::vector<Delivery>> take(Moment moment);
  /// What has waited for so long that it is given up.
  std::vector<Delivery> take_given_up(Moment moment);
  /// They were delivered, or never will be.
  void settle(const std::vector<Delivery>& deliveries);
  /// The try failed: all of this recipient's wait for a while.
  /// Returns when it is tried again.
  Timestamp put_back(std::vector<Delivery> deliveries, std::optional<std::chrono::seconds> after, Moment moment);
  /// When to look again at the latest.
  Instant next(Moment moment) const;
  std::size_t size() const;

 private:
  struct Waiting {
    Delivery delivery;
    Severity severity;
    Instant since;
  };
  struct Recipient {
    std::vector<Waiting> waiting;
    std::map<std::string, std::pair<Severity, Instant>> out;  ///< By delivery.
    double tokens = 0;
    std::optional<Instant> filled;
    Instant not_before{};
    int failures = 0;
  };

  bool may_be_told(Severity severity, Timestamp now) const;
  void fill(Recipient& recipient, Instant now) const;

  Manners manners_;
  Calendar calendar_;
  std::map<std::string, Recipient> recipients_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace wattd::notify
