#include "storage/fresh.h"

#include <utility>

namespace wattd::storage {

void Fresh::forget() {
  devices_.clear();
  first_ = next_ = 0;
  cells_ = 0;
}

void Fresh::add(std::uint64_t first, std::uint64_t last, std::span<const Block> blocks, std::size_t most_cells) {
  if (last < first) return;
  if (first != next_) {
    forget();
    first_ = first;
  }
  next_ = last + 1;
  for (const auto& block : blocks) {
    auto& device = devices_[block.device_key];
    device.device_key = block.device_key;
    device.append(block);
    cells_ += block.cells();
  }
  if (cells_ > most_cells) forget();
}

Fresh::Devices Fresh::take(std::uint64_t first, std::uint64_t last) {
  Devices taken;
  if (first == first_ && last + 1 == next_) taken = std::move(devices_);
  forget();
  return taken;
}

}  // namespace wattd::storage
