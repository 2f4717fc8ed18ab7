#pragma once
#include <atomic>

#include "telemetry/time.h"

namespace wattd {

/// A thread's sign of life, which the watchdog reads.
/// Threads: one beats, any asks.
class Progress {
 public:
  void beat() { last_.store(std::chrono::steady_clock::now().time_since_epoch().count(), std::memory_order_relaxed); }
  /// How long ago the thread last went round its loop.
  std::chrono::nanoseconds silence() const {
    const auto last = std::chrono::steady_clock::duration{last_.load(std::memory_order_relaxed)};
    return std::chrono::steady_clock::now().time_since_epoch() - last;
  }

 private:
  std::atomic<std::chrono::steady_clock::rep> last_{std::chrono::steady_clock::now().time_since_epoch().count()};
};

}  // namespace wattd
