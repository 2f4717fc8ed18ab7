// Another gateway, or whoever has its token, may post anything. The checksum is put right, so that the fuzzer gets past
// it; those of the chunks within are left to it.
#include <cstring>
#include <vector>

#include "storage/envelope.h"
#include "storage/shipment.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  using namespace wattd::storage;
  std::vector<std::uint8_t> bytes(data, data + size);
  (void)decode_shipment(bytes);
  if (bytes.size() < 6) return 0;
  bytes[0] = 1, bytes[1] = 0;
  const auto sum = checksum(0, std::span(bytes).subspan(6));
  std::memcpy(&bytes[2], &sum, 4);
  (void)decode_shipment(bytes);
  return 0;
}
