#include "storage/blocks.h"

#include <algorithm>
#include <utility>

namespace wattd::storage {
namespace {

constexpr std::size_t kMostSpareRows = 4096;  // a burst's memory is given back

}  // namespace

void BlockMaker::take_back() {
  for (auto& block : blocks_) {
    if (block.at_us.capacity() > kMostSpareRows) continue;
    block.clear();
    kept_.insert_or_assign(block.device_key, std::move(block));
  }
  blocks_.clear();
  ++group_;
}

Block& BlockMaker::block_of(const std::string& device_id) {
  auto slot = slots_.find(device_id);
  if (slot == slots_.end()) slot = slots_.emplace(device_id, Slot{.device_key = catalogue_.key_of(device_id)}).first;
  if (slot->second.group == group_) return blocks_[slot->second.index];
  const auto key = slot->second.device_key;
  slot->second.group = group_;
  slot->second.index = blocks_.size();
  const auto kept = kept_.find(key);
  if (kept == kept_.end()) return blocks_.emplace_back(Block{.device_key = key});
  auto& block = blocks_.emplace_back(std::move(kept->second));
  kept_.erase(kept);
  block.device_key = key;
  return block;
}

std::span<const Block> BlockMaker::make(std::span<const Reading> readings) {
  take_back();
  for (const auto& reading : readings) {
    auto& block = block_of(reading.device_id);
    const auto row = block.rows();
    block.add_row(to_unix_us(reading.at), reading.device_version, reading.quality);
    block.received_us.push_back(to_unix_us(reading.received));
    auto series_of = catalogue_.series_of(block.device_key, reading.device_id);
    for (std::size_t i = 0; i < reading.fields.size(); ++i) {
      const auto& field = reading.fields[i];
      block.column(series_of(field.name, i), i).put(row, field.value, field.quality);
    }
  }
  for (auto& block : blocks_) {
    std::erase_if(block.columns, [](const Column& column) { return column.values.size() == 0; });
    block.fill_up();
  }
  std::ranges::sort(blocks_, {}, &Block::device_key);
  return blocks_;
}

}  // namespace wattd::storage
