#include "drivers/modbus/plan.h"

#include <algorithm>
#include <tuple>

namespace wattd::drivers::modbus {
namespace {

int align_down(int address, int alignment) { return address - address % alignment; }
int align_up(int end, int alignment) { return (end + alignment - 1) / alignment * alignment; }

void finish(Request& request, int end, int alignment) {
  request.count = std::min(align_up(end, alignment), 65536) - request.address;
}

}  // namespace

std::vector<Request> plan(const Profile& profile, PollClass poll, bool experimental) {
  std::vector<const Register*> rows;
  for (const auto& row : profile.registers) {
    if (row.poll == poll && (experimental || !row.experimental)) rows.push_back(&row);
  }
  std::ranges::sort(rows, {}, [](const Register* row) { return std::tuple(row->function, row->address); });

  std::vector<Request> requests;
  int end = 0;
  for (const auto* row : rows) {
    const bool joins =
        !requests.empty() && requests.back().function == row->function && row->address - end <= profile.max_gap &&
        align_up(std::max(end, row->end()), profile.alignment) - requests.back().address <= profile.max_registers;
    if (!joins) {
      if (!requests.empty()) finish(requests.back(), end, profile.alignment);
      requests.push_back({.function = row->function, .address = align_down(row->address, profile.alignment)});
      end = 0;
    }
    requests.back().rows.push_back(row);
    end = std::max(end, row->end());
  }
  if (!requests.empty()) finish(requests.back(), end, profile.alignment);
  return requests;
}

std::chrono::microseconds bus_time(const std::vector<Request>& requests, const Profile& profile, int baud) {
  std::chrono::microseconds total{0};
  for (const auto& request : requests) {
    const int bytes = 8 + 5 + 2 * request.count;
    total += std::chrono::microseconds{std::int64_t{bytes} * 11 * 1'000'000 / baud} + profile.delay;
  }
  return total;
}

}  // namespace wattd::drivers::modbus
