#include "telemetry/clock.h"

namespace wattd {

Timestamp SystemClock::now() const {
  return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

Instant SystemClock::monotonic() const { return std::chrono::steady_clock::now(); }

}  // namespace wattd
