#include "telemetry/clock.h"

#include <sys/timex.h>

namespace wattd {

Stamp SystemClock::stamp() const {
  return {std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now())};
}

Instant SystemClock::monotonic() const { return std::chrono::steady_clock::now(); }

bool clock_is_synchronised() {
  timex kernel{};
  const int state = adjtimex(&kernel);
  return state >= 0 && state != TIME_ERROR && (kernel.status & STA_UNSYNC) == 0;
}

}  // namespace wattd
