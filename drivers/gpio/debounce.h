#pragma once
#include <chrono>
#include <optional>

#include "telemetry/time.h"

namespace wattd::drivers::gpio {

/// Tells a contact's bouncing from a change: a state counts once it has held for some time.
/// Threads: one.
class Debounce {
 public:
  Debounce(bool state, std::chrono::milliseconds hold) : state_(state), hold_(hold) {}

  /// Takes note of an edge, after settle() for everything before it.
  void edge(bool active, Instant at) {
    if (active == state_) since_.reset();
    else if (!since_) since_ = at;
  }
  /// The change that has held by now, with the time at which it began; once.
  std::optional<Instant> settle(Instant now) {
    if (!since_ || now - *since_ < hold_) return std::nullopt;
    state_ = !state_;
    return std::exchange(since_, std::nullopt);
  }
  bool state() const { return state_; }
  /// When settle() is worth asking.
  std::optional<Instant> due() const { return since_ ? std::optional(*since_ + hold_) : std::nullopt; }

 private:
  bool state_;
  std::chrono::milliseconds hold_;
  std::optional<Instant> since_;  ///< The line has been in the other state since then.
};

}  // namespace wattd::drivers::gpio
