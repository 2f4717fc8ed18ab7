#include "telemetry/identity.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <stdexcept>

namespace wattd {
namespace {

std::string format_uuid(std::uint64_t high, std::uint64_t low, unsigned version) {
  high = (high & ~0xF000ULL) | (std::uint64_t{version} << 12);
  low = (low & ~(3ULL << 62)) | (2ULL << 62);
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, (high >> 16) & 0xFFFF, high & 0xFFFF, low >> 48,
                     low & 0xFFFFFFFFFFFFULL);
}

}  // namespace

std::string random_uuid() {
  std::uint64_t words[2];
  if (getrandom(words, sizeof words, 0) != sizeof words) throw std::runtime_error("the kernel gave no random bytes");
  return format_uuid(words[0], words[1], 4);
}

std::string uuid_from_name(std::string_view name) {
  const auto high = fnv1a(name);
  return format_uuid(high, fnv1a(name, high ^ 0x9E3779B97F4A7C15ULL), 8);
}

}  // namespace wattd
