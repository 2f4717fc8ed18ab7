// Telemetry payloads come from whoever may publish.
#include "drivers/mqtt/payload.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  static wattd::drivers::mqtt::PayloadDecoder decoder;
  const auto decoded = decoder.decode({reinterpret_cast<const char*>(data), size});
  if (decoded && decoded->reading.fields.size() > 1000) __builtin_trap();
  return 0;
}
