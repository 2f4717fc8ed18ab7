// Rollups and the states of counters from a database that may hold anything. The checksum is put right, so that the
// fuzzer gets past it.
#include <cstring>
#include <vector>

#include "storage/envelope.h"
#include "storage/rollup_bytes.h"
#include "telemetry/bytes.h"
#include "telemetry/log.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wattd::storage;
  wattd::log::set_level(wattd::log::Level::error);
  std::vector<std::uint8_t> bytes(data, data + size);
  (void)decode_counter(bytes);
  if (bytes.size() < 5) return 0;
  bytes[0] = 1;
  const auto sum = checksum(1, std::span(bytes).subspan(5));
  std::memcpy(&bytes[1], &sum, 4);
  try {
    Rollup rollup;
    decode_rollup(bytes, rollup);
  } catch (const wattd::BadBytes&) {
    // What else is there to say of such bytes?
  }
  return 0;
}
