#include "storage/blocks.h"

#include <algorithm>

namespace wattd::storage {

std::vector<Block> to_blocks(std::span<const Reading> readings, Catalogue& catalogue) {
  std::vector<Block> blocks;
  blocks.reserve(std::min<std::size_t>(readings.size(), 256));
  TextMap<std::size_t> places;
  for (const auto& reading : readings) {
    auto place = places.find(reading.device_id);
    if (place == places.end()) {
      place = places.emplace(reading.device_id, blocks.size()).first;
      blocks.push_back({.device_key = catalogue.key_of(reading.device_id)});
      blocks.back().columns.reserve(reading.fields.size());
    }
    auto& block = blocks[place->second];
    const auto row = block.rows();
    block.add_row(to_unix_us(reading.at), reading.device_version, reading.quality);
    block.received_us.push_back(to_unix_us(reading.received));
    for (std::size_t i = 0; i < reading.fields.size(); ++i) {
      const auto& field = reading.fields[i];
      const auto series_id = catalogue.series_of(block.device_key, reading.device_id, field.name, i);
      block.column(series_id, i).put(row, field.value, field.quality);
    }
  }
  for (auto& block : blocks) block.fill_up();
  std::ranges::sort(blocks, {}, &Block::device_key);
  return blocks;
}

}  // namespace wattd::storage
