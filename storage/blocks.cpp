#include "storage/blocks.h"

#include <algorithm>

namespace wattd::storage {
namespace {

constexpr std::size_t kMostSpareRows = 4096;  // a burst's memory is given back

}  // namespace

void BlockMaker::take_back() {
  for (auto& block : blocks_) {
    const bool is_large = block.at_us.capacity() > kMostSpareRows;
    for (auto& column : block.columns) {
      if (is_large) continue;
      column.clear();
      spare_columns_.push_back(std::move(column));
    }
    if (is_large) continue;
    block.clear();
    spare_blocks_.push_back(std::move(block));
  }
  blocks_.clear();
  ++group_;
}

Block& BlockMaker::block_of(const std::string& device_id) {
  auto slot = slots_.find(device_id);
  if (slot == slots_.end()) slot = slots_.emplace(device_id, Slot{}).first;
  if (slot->second.group == group_) return blocks_[slot->second.index];
  const auto key = catalogue_.key_of(device_id);
  slot->second = {group_, blocks_.size()};
  if (spare_blocks_.empty()) return blocks_.emplace_back(Block{.device_key = key});
  auto& block = blocks_.emplace_back(std::move(spare_blocks_.back()));
  spare_blocks_.pop_back();
  block.device_key = key;
  return block;
}

Column& BlockMaker::column_of(Block& block, std::uint32_t series_id, std::size_t place) {
  auto& columns = block.columns;
  if (place < columns.size() && columns[place].series_id == series_id) return columns[place];
  const auto known = std::ranges::find(columns, series_id, &Column::series_id);
  if (known != columns.end()) return *known;
  if (spare_columns_.empty()) return columns.emplace_back(Column{.series_id = series_id});
  auto& column = columns.emplace_back(std::move(spare_columns_.back()));
  spare_columns_.pop_back();
  column.series_id = series_id;
  return column;
}

std::span<const Block> BlockMaker::make(std::span<const Reading> readings) {
  take_back();
  for (const auto& reading : readings) {
    auto& block = block_of(reading.device_id);
    const auto row = block.rows();
    block.add_row(to_unix_us(reading.at), reading.device_version, reading.quality);
    block.received_us.push_back(to_unix_us(reading.received));
    for (std::size_t i = 0; i < reading.fields.size(); ++i) {
      const auto& field = reading.fields[i];
      const auto series_id = catalogue_.series_of(block.device_key, reading.device_id, field.name, i);
      column_of(block, series_id, i).put(row, field.value, field.quality);
    }
  }
  for (auto& block : blocks_) block.fill_up();
  std::ranges::sort(blocks_, {}, &Block::device_key);
  return blocks_;
}

}  // namespace wattd::storage
