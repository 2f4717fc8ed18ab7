#include "telemetry/reading.h"

namespace wattd {

bool is_valid_device_id(std::string_view id) {
  std::size_t characters = 0;
  for (const unsigned char c : id) {
    characters += (c & 0xC0) != 0x80;  // bytes that begin a character
    if (c < 0x20 || c == 0x7f || c == '/' || c == '+' || c == '#') return false;
  }
  return characters >= 1 && characters <= 50;
}

}  // namespace wattd
