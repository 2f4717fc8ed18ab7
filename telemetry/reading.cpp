#include "telemetry/reading.h"

namespace wattd {

bool is_valid_device_id(std::string_view id) {
  if (id.empty() || id.size() > 50) return false;
  for (const unsigned char c : id) {
    if (c < 0x20 || c == 0x7f || c == '/' || c == '+' || c == '#') return false;
  }
  return true;
}

}  // namespace wattd
