// A database may hold anything after a power cut, or when a person handed it to us. The checksums are put right, so
// that the fuzzer gets past them. The first two bytes say where the head ends.
#include <cstring>
#include <vector>

#include "storage/chunk.h"
#include "storage/envelope.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  using namespace wattd::storage;
  if (size < 11) return 0;
  const std::size_t split = std::min<std::size_t>(2 + (data[0] | data[1] << 8) % 4096, size);
  std::vector<std::uint8_t> head(data + 2, data + split);
  const std::vector<std::uint8_t> body(data + split, data + size);
  (void)decode_chunk(head, body);
  if (head.size() < 9) return 0;
  head[0] = 1;
  const auto sum_of_body = checksum(1, body);
  std::memcpy(&head[5], &sum_of_body, 4);
  const auto sum_of_head = checksum(1, std::span(head).subspan(9));
  std::memcpy(&head[1], &sum_of_head, 4);
  (void)decode_chunk(head, body);
  return 0;
}
