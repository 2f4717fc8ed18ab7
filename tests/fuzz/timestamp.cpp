// Timestamps come from devices.
#include "telemetry/time.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const auto at = wattd::parse_iso8601({reinterpret_cast<const char*>(data), size});
  if (at && wattd::parse_iso8601(wattd::format_iso8601(*at)) != at) __builtin_trap();
  return 0;
}
