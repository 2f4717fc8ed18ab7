// Whatever a line brings, in pieces: no crash, no overread, and never registers of another number than were asked for.
#include <algorithm>
#include <cstdlib>

#include "drivers/modbus/frame.h"
#include "drivers/modbus/identification.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wattd::drivers::modbus;
  if (size < 3) return 0;
  const ReadRequest request{
      .unit = 1 + data[0] % 4, .function = 3 + data[0] / 4 % 2, .address = 0, .count = 1 + data[1] % 125};
  for (const auto framing : {Framing::rtu, Framing::tcp}) {
    (void)identification_in({data, size}, framing, data[0], data[1]);
    Asked before;
    before.note(static_cast<std::uint16_t>(kFirstTransaction + data[1]), {request.unit, 3, 0, 2}, {});
    AnswerParser parser(framing, request, data[2], &before);
    for (std::size_t at = 3; at < size;) {
      const auto piece = std::min<std::size_t>(1 + data[at] % 17, size - at);
      const auto answer = parser.take({data + at, piece});
      if (answer && !answer->exception && answer->words.size() != static_cast<std::size_t>(request.count)) std::abort();
      if (answer) break;
      at += piece;
    }
  }
  return 0;
}
