#pragma once
#include <algorithm>
#include <chrono>

#include "telemetry/clock.h"

namespace wattd::drivers::modbus {

/// How long one meter's answers are waited for. A meter that has always answered at once is given up sooner than the
/// bus's timeout says, so that an answer that is lost costs the others less; one whose answers come after it is waited
/// for longer.
class Patience {
 public:
  explicit Patience(std::chrono::milliseconds configured) : configured_(configured), most_(configured) {}

  std::chrono::milliseconds timeout() const {
    if (answers_ < kKnown) return most_;
    const auto wanted = std::chrono::ceil<std::chrono::milliseconds>(3 * slowest_) + kLeast / 2;
    return std::clamp(wanted, std::min(kLeast, most_), most_);
  }
  void answered(Instant::duration took) {
    // What was slow once is forgotten, but slowly.
    slowest_ = std::max(took, slowest_ - slowest_ / 256);
    answers_ = std::min(answers_ + 1, kKnown);
  }
  /// lateness: how long an answer took that came after all, 0 for none.
  void lost(Instant::duration lateness) {
    answers_ = 0;
    slowest_ = {};
    const auto wanted = std::chrono::ceil<std::chrono::milliseconds>(lateness + lateness / 2);
    most_ = std::clamp(wanted, configured_, 4 * configured_);
  }

 private:
  static constexpr int kKnown = 20;
  static constexpr std::chrono::milliseconds kLeast{200};  // what adapters and gateways may add at any time
  std::chrono::milliseconds configured_;
  std::chrono::milliseconds most_;
  Instant::duration slowest_{};
  int answers_ = 0;
};

}  // namespace wattd::drivers::modbus
