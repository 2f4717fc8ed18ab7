#include "storage/blocks.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace wattd::storage {
namespace {

constexpr std::size_t kCellsPerBlock = 200'000;

/// The open block of one device and hour, with a place for every series seen so far.
struct OpenBlock {
  Block block;
  TextMap<std::size_t> columns;
};

std::size_t column_of(OpenBlock& open, Catalogue& catalogue, const std::string& device_id, const std::string& field) {
  if (const auto found = open.columns.find(field); found != open.columns.end()) return found->second;
  const auto readings = open.block.at.size() - 1;  // the newest has been added already
  Column column{.series_id = catalogue.series_of(open.block.device_key, device_id, field)};
  column.present.assign(readings, 0);
  column.values.resize(readings);
  column.qualities.resize(readings);
  open.block.columns.push_back(std::move(column));
  open.columns.emplace(field, open.block.columns.size() - 1);
  return open.block.columns.size() - 1;
}

void append(OpenBlock& open, Catalogue& catalogue, const Reading& reading) {
  open.block.at.push_back(reading.at);
  open.block.received.push_back(reading.received);
  open.block.qualities.push_back(reading.quality);
  for (const auto& field : reading.fields) {
    auto& column = open.block.columns[column_of(open, catalogue, reading.device_id, field.name)];
    if (column.values.size() == open.block.at.size()) continue;  // a name that came twice: the first one holds
    column.present.push_back(1);
    column.values.push_back(field.value);
    column.qualities.push_back(field.quality);
  }
  for (auto& column : open.block.columns) {
    if (column.values.size() == open.block.at.size()) continue;
    column.present.push_back(0);
    column.values.emplace_back();
    column.qualities.push_back(Quality::good);
  }
}

std::size_t cells(const Block& block) { return block.at.size() * std::max<std::size_t>(block.columns.size(), 1); }

}  // namespace

std::vector<std::vector<Block>> to_segments(std::span<const Reading> readings, Catalogue& catalogue) {
  // A segment holds one hour, so that a query or a rollup finds an hour's segments by that number alone.
  std::map<std::tuple<std::int64_t, std::uint32_t, std::uint32_t>, OpenBlock> open;
  std::map<std::int64_t, std::vector<Block>> hours;
  TextMap<std::uint32_t> keys;
  for (const auto& reading : readings) {
    auto known = keys.find(reading.device_id);
    if (known == keys.end()) known = keys.emplace(reading.device_id, catalogue.key_of(reading.device_id)).first;
    const auto key = known->second;
    const auto hour = hour_of(reading.at);
    auto& slot = open[{hour, key, reading.device_version}];
    slot.block.device_key = key;
    slot.block.device_version = reading.device_version;
    append(slot, catalogue, reading);
    if (cells(slot.block) >= kCellsPerBlock) hours[hour].push_back(std::exchange(slot, {}).block);
  }
  for (auto& [id, slot] : open) {
    if (!slot.block.at.empty()) hours[std::get<0>(id)].push_back(std::move(slot.block));
  }
  std::vector<std::vector<Block>> segments;
  for (auto& [hour, blocks] : hours) {
    std::size_t in_segment = kCellsPerBlock * 5;
    for (auto& block : blocks) {
      in_segment += cells(block);
      if (in_segment > kCellsPerBlock * 5) segments.emplace_back(), in_segment = cells(block);
      segments.back().push_back(std::move(block));
    }
  }
  return segments;
}

}  // namespace wattd::storage
