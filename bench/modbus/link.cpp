// The gateway's own link in the same loop as loop.c: link PORT ROUNDS FUNCTION:ADDRESS:COUNT …
#include "drivers/modbus/link.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  using namespace wattd;
  using namespace wattd::drivers::modbus;
  if (argc < 4) return 1;
  const SystemClock clock;
  const auto link = open_link({.host = "127.0.0.1", .port = std::atoi(argv[1])}, clock);
  const int rounds = std::atoi(argv[2]);
  std::size_t registers = 0;
  const auto began = clock.monotonic();
  for (int round = 0; round < rounds; ++round) {
    for (int i = 3; i < argc; ++i) {
      int function = 0, address = 0, count = 0;
      if (std::sscanf(argv[i], "%d:%d:%d", &function, &address, &count) != 3) return 1;
      const auto words = link->read(1, function, address, count);
      if (!words) {
        fmt::print(stderr, "bench_modbus_link: {}\n", words.error().message);
        return 1;
      }
      registers += words->size();
    }
  }
  const auto took = std::chrono::duration<double>(clock.monotonic() - began).count();
  fmt::print("{:.1f}\n", static_cast<double>(registers) / took);
  return 0;
}
