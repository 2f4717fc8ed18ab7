#include "storage/segment_v1.h"

#include <fmt/format.h>

#include <algorithm>

#include "storage/value_bytes.h"
#include "telemetry/bytes.h"

namespace wattd::storage {
namespace {

constexpr std::size_t kMaxCells = 4u << 20;

Column read_column(ByteReader in, std::uint32_t series_id, std::size_t readings) {
  Column column{.series_id = series_id};
  const auto kind = static_cast<Kind>(in.byte());
  if (in.byte() == 0) {
    const auto bits = in.take((readings + 7) / 8);
    column.present.resize(readings);
    for (std::size_t i = 0; i < readings; ++i) column.present[i] = (bits[i / 8] >> (i % 8)) & 1;
  }
  column.qualities = read_qualities(in, readings);
  for (std::size_t i = 0; i < readings; ++i) {
    if (!column.present.empty() && column.present[i] == 0) column.values.push_nothing();
    else column.values.push(read_value(in, kind == Kind::mixed ? static_cast<Kind>(in.byte()) : kind));
  }
  return column;
}

Block read_block(ByteReader& in, const WantsDevice& wants, std::size_t& cells_left) {
  Block block{.device_key = static_cast<std::uint32_t>(in.varint())};
  const auto version = static_cast<std::uint32_t>(in.varint());
  const auto readings = in.count(2);
  std::uint64_t at = 0;  // unsigned, so that hostile deltas wrap instead of overflowing
  for (std::size_t i = 0; i < readings; ++i) {
    at += static_cast<std::uint64_t>(in.zigzag_varint());
    block.at_us.push_back(static_cast<std::int64_t>(at));
  }
  for (std::size_t i = 0; i < readings; ++i) {
    const auto us = static_cast<std::uint64_t>(block.at_us[i]) + static_cast<std::uint64_t>(in.zigzag_varint());
    block.received_us.push_back(static_cast<std::int64_t>(us));
  }
  block.versions.assign(readings, version);
  block.qualities = read_qualities(in, readings);
  for (auto columns = in.count(2); columns > 0; --columns) {
    // An absent value costs one bit on disk but a whole place here.
    if (readings > cells_left) throw BadBytes("there are more values than a segment may hold");
    cells_left -= readings;
    const auto series_id = static_cast<std::uint32_t>(in.varint());
    const auto body = in.take(in.count(1));
    if (!wants || wants(block.device_key)) block.columns.push_back(read_column(ByteReader(body), series_id, readings));
  }
  return block;
}

}  // namespace

std::vector<Block> read_segment_v1(std::span<const std::uint8_t> body, const WantsDevice& wants) {
  ByteReader in(body);
  std::vector<Block> blocks;
  auto cells_left = kMaxCells;
  for (auto count = in.count(5); count > 0; --count) {
    auto block = read_block(in, wants, cells_left);
    if (!wants || wants(block.device_key)) blocks.push_back(std::move(block));
  }
  return blocks;
}

}  // namespace wattd::storage
