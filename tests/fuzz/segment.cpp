// A database may hold anything after a power cut, or when a person handed it to us. The checksum is put right, so that
// the fuzzer gets past it.
#include <zlib.h>

#include <cstring>
#include <vector>

#include "storage/segment.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  std::vector<std::uint8_t> bytes(data, data + size);
  (void)wattd::storage::decode_segment(bytes);
  if (size < 6) return 0;
  bytes[0] = 1 + bytes[0] % 2;
  bytes[1] &= 1;
  const auto flags = crc32(0, &bytes[1], 1);
  const auto sum = static_cast<std::uint32_t>(crc32(flags, bytes.data() + 6, static_cast<uInt>(bytes.size() - 6)));
  std::memcpy(&bytes[2], &sum, sizeof sum);
  (void)wattd::storage::decode_segment(bytes);
  return 0;
}
