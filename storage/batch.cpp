#include "storage/batch.h"

#include <fmt/format.h>

#include <algorithm>

#include "storage/chunk.h"
#include "storage/guarded.h"
#include "storage/reader.h"
#include "storage/segment.h"
#include "storage/state.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

constexpr int kChunksAtOnce = 64;
constexpr std::size_t kBytesAtOnce = 256 << 10;

/// Takes what lies behind the first `skip` rows, as far as there is room; a piece is a copy, so that a chunk of a day
/// does not stay in memory for it.
/// Returns the rows that are behind then; 0 when they all are.
std::size_t take(const std::vector<Rows>& opened, std::size_t skip, std::size_t room, Batch& batch) {
  std::size_t passed = 0;
  for (const auto& rows : opened) {
    const auto from = std::min(skip, rows.size());
    const auto count = std::min(rows.size() - from, room);
    if (count > 0) {
      batch.parts.push_back(rows);
      auto& part = batch.parts.back();
      if (count < rows.size()) part.block = std::make_shared<const Block>(rows.block->slice(from, from + count));
    }
    skip -= from;
    room -= count;
    passed += from + count;
    if (from + count < rows.size()) return passed;
  }
  return 0;
}

}  // namespace

std::size_t Rows::numeric_samples(std::size_t row) const {
  std::size_t count = 0;
  for (const auto& column : block->columns) count += column.has(row) && column.values.number(row).has_value();
  return count;
}

Reading Rows::reading(std::size_t row) const {
  Reading reading{.device_id = device_id,
                  .at = from_unix_us(block->at_us[row]),
                  .received = received(row),
                  .device_version = block->versions[row],
                  .quality = block->quality(row),
                  .fields = {}};
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const auto& column = block->columns[i];
    if (column.has(row)) reading.fields.push_back({fields[i], column.values[row], column.quality(row)});
  }
  return reading;
}

Rows rows_of(const Reading& reading) {
  Rows rows{.device_id = reading.device_id};
  auto block = std::make_shared<Block>();
  block->add_row(to_unix_us(reading.at), reading.device_version, reading.quality);
  block->received_us = {to_unix_us(reading.received)};
  for (const auto& field : reading.fields) {
    const auto id = static_cast<std::uint32_t>(rows.fields.size());
    block->column(id, id).put(0, field.value, field.quality);
    rows.fields.push_back(field.name);
  }
  block->fill_up();
  rows.block = std::move(block);
  return rows;
}

bool Reader::is_in_catalogue(std::uint32_t device_key) {
  if (devices_.contains(device_key)) return true;
  Statement known(database_, "SELECT 1 FROM devices WHERE device_key=?");
  known.bind(std::int64_t{device_key});
  return known.step();
}

void Reader::open(Block block, std::vector<Rows>& opened) {
  // Nothing that one device has lost may keep the others from where they go.
  if (!is_in_catalogue(block.device_key)) {
    log::error(fmt::format("{} readings of device {} cannot be sent: it is not in the catalogue", block.rows(),
                           block.device_key));
    return;
  }
  Rows rows{.device_id = device_of(block.device_key)};
  for (const auto& column : block.columns) rows.fields.push_back(field_of(column.series_id));
  rows.block = std::make_shared<const Block>(std::move(block));
  opened.push_back(std::move(rows));
}

std::uint64_t Reader::first_in_ring() {
  Statement first(database_, "SELECT seq FROM arrivals ORDER BY seq LIMIT 1");
  if (first.step()) return static_cast<std::uint64_t>(first.integer(0));
  return static_cast<std::uint64_t>(load_number(database_, "last_seq")) + 1;
}

void Reader::add_from_chunks(std::uint64_t ring_first, std::size_t max_readings, Batch& batch) {
  // All chunks of a round end at the same number: only when they have all been read is everything up to it behind us.
  const auto position = batch.end;
  const bool within = position.round > position.seq;
  const bool within_chunk = within && position.row > 0;
  // Their keys alone: what they hold would be copied to be sorted.
  Statement row(database_, fmt::format("SELECT chunk_id, last_seq FROM chunks WHERE (last_seq, chunk_id) {} (?, ?) AND "
                                       "first_seq < ? ORDER BY last_seq, chunk_id LIMIT ?",
                                       within_chunk ? ">=" : ">"));
  Statement stored_row(database_, fmt::format("SELECT {} FROM chunks WHERE chunk_id = ?", kChunkColumns));
  row.bind(static_cast<std::int64_t>(within ? position.round : position.seq));
  row.bind(within ? position.chunk : INT64_MAX).bind(static_cast<std::int64_t>(ring_first));
  row.bind(std::int64_t{kChunksAtOnce});
  std::size_t bytes = 0;
  int found = 0;
  for (auto count = batch.size(); count < max_readings && bytes < kBytesAtOnce && row.step(); count = batch.size()) {
    const auto id = row.integer(0);
    const auto round = static_cast<std::uint64_t>(row.integer(1));
    const auto skip = within_chunk && id == position.chunk && round == position.round ? position.row : 0;
    if (batch.end.round > batch.end.seq && round != batch.end.round)
      batch.end.seq = std::min(batch.end.round, ring_first - 1);
    batch.end.round = round, batch.end.chunk = id, batch.end.row = 0;
    ++found;
    if (opened_.chunk != id || opened_.seq != round) {
      opened_ = {};  // one of them at a time
      stored_row.reset();
      stored_row.bind(id);
      if (!stored_row.step()) continue;
      const auto stored = chunk_from(database_.vault(), stored_row);
      bytes += stored.head.size() + stored.body.size();
      auto block = decode_chunk(stored.head, stored.body);
      if (!block) {
        log::error(fmt::format("chunk {} is damaged and cannot be sent: {}", id, block.error().message));
        continue;
      }
      block->device_key = device_of_chunk(id);
      opened_ = {.seq = round, .chunk = id, .rows = {}};
      open(std::move(*block), opened_.rows);
    }
    batch.end.row = take(opened_.rows, skip, max_readings - count, batch);
  }
  if (found == 0) batch.end = {.seq = ring_first - 1};
}

bool Reader::add_segment(std::uint64_t seq, std::size_t max_readings, Batch& batch) {
  batch.end.row = take(opened_.rows, batch.end.row, max_readings - batch.size(), batch);
  if (batch.end.row == 0) batch.end = {.seq = seq};
  return batch.size() < max_readings;
}

Result<Batch> Reader::batch_after(const Position& position, std::size_t max_readings, std::uint64_t last) {
  return guarded([&]() -> Batch {
    Batch batch{.end = position, .parts = {}};
    const bool within_segment = position.row > 0 && position.round <= position.seq;
    const bool is_open = opened_.chunk == 0 && opened_.after == position.seq && opened_.seq > position.seq;
    if (within_segment && is_open && opened_.seq <= last && !add_segment(opened_.seq, max_readings, batch))
      return batch;
    for (bool overtaken = true; overtaken;) {
      overtaken = false;
      const auto ring_first = first_in_ring();
      // A segment that was overwritten while it was read is read again, from the chunks.
      if (within_segment && batch.end == position && position.seq + 1 < ring_first) batch.end.row = 0;
      while (batch.end.seq + 1 < ring_first) {
        add_from_chunks(ring_first, max_readings, batch);
        if (!batch.parts.empty()) return batch;
      }
      if (batch.end.round > batch.end.seq) batch.end = {.seq = batch.end.seq};  // the chunks are behind
      history_.visit_segments(batch.end.seq, kAlways, [&](std::uint64_t seq, std::span<const std::uint8_t> body) {
        if (seq > last) return false;
        // The writer may have overwritten some since we looked.
        overtaken = seq > batch.end.seq + 1 && first_in_ring() > batch.end.seq + 1;
        if (overtaken) return false;
        opened_ = {.seq = seq, .after = batch.end.seq, .rows = {}};
        if (auto blocks = decode_segment(body)) {
          for (auto& block : *blocks) open(std::move(block), opened_.rows);
        } else {
          log::error(fmt::format("segment {} is damaged and cannot be sent: {}", seq, blocks.error().message));
        }
        return add_segment(seq, max_readings, batch);
      });
    }
    return batch;
  });
}

Result<std::uint64_t> Reader::last_segment() {
  return guarded([&] {
    Statement last(database_, "SELECT seq FROM arrivals ORDER BY seq DESC LIMIT 1");
    if (last.step()) return static_cast<std::uint64_t>(last.integer(0));
    return static_cast<std::uint64_t>(load_number(database_, "last_seq"));
  });
}

Result<std::uint64_t> Reader::last_segment_before(std::uint64_t after, Timestamp before) {
  return guarded([&] {
    Statement next(database_, "SELECT seq FROM arrivals WHERE seq>? AND to_at>=? ORDER BY seq LIMIT 1");
    next.bind(static_cast<std::int64_t>(after)).bind(before);
    if (next.step()) return static_cast<std::uint64_t>(next.integer(0)) - 1;
    return std::max(after, last_segment().value_or(after));
  });
}

Result<std::uint64_t> Reader::readings_in_ring(std::uint64_t after, std::uint64_t to) {
  return guarded([&] {
    constexpr std::uint64_t kMost = INT64_MAX;
    Statement row(database_, "SELECT ifnull(sum(readings), 0) FROM arrivals WHERE seq>? AND seq<=?");
    row.bind(static_cast<std::int64_t>(std::min(after, kMost))).bind(static_cast<std::int64_t>(std::min(to, kMost)));
    row.step();
    return static_cast<std::uint64_t>(row.integer(0));
  });
}

Result<std::vector<std::string>> Reader::devices() {
  return guarded([&] {
    std::vector<std::string> ids;
    Statement row(database_, "SELECT device_id FROM devices ORDER BY device_id");
    while (row.step()) ids.push_back(row.text(0));
    return ids;
  });
}

Result<Batch> Reader::batch_of(const std::string& device_id, TimeRange range, std::size_t max_readings) {
  return guarded([&] {
    Batch batch;
    const auto device = find_device(device_id);
    if (!device) return batch;
    std::size_t count = 0;
    history_.visit(*device, range, {}, [&](const Block& block) {
      const auto rows = std::min(block.rows(), max_readings - count);
      auto piece = block.slice(0, rows);
      piece.device_key = *device;
      count += rows;
      open(std::move(piece), batch.parts);
      return count < max_readings;
    });
    return batch;
  });
}

Result<DeviceVersion> Reader::device_version(const std::string& device_id, std::uint32_t version) {
  return guarded([&] {
    const auto key = std::pair(device_id, version);
    if (const auto known = versions_.find(key); known != versions_.end()) return known->second;
    Statement row(database_,
                  "SELECT v.device_type, ifnull(v.location,''), v.schema_version, v.enrichment_status "
                  "FROM device_versions v JOIN devices USING (device_key) WHERE device_id=? AND v.version=?");
    row.bind(device_id).bind(std::int64_t{version});
    DeviceVersion found{.device_id = device_id, .schema_version = "v1", .enrichment_status = "failed"};
    if (row.step()) found = {device_id, row.text(0), row.text(1), row.text(2), row.text(3)};
    return versions_.emplace(key, std::move(found)).first->second;
  });
}

}  // namespace wattd::storage
