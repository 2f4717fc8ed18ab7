#pragma once
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "storage/batch.h"
#include "sync/sink.h"

namespace wattd::sync {

/// Readings as a sink gets them, each a block of its own.
inline std::vector<storage::Rows> rows_of(std::span<const Reading> readings) {
  std::vector<storage::Rows> all;
  for (const auto& reading : readings) {
    storage::Rows rows{.device_id = reading.device_id, .fields = {}};
    auto block = std::make_shared<storage::Block>();
    block->add_row(to_unix_us(reading.at), reading.device_version, reading.quality);
    block->received_us = {to_unix_us(reading.received)};
    for (const auto& field : reading.fields) {
      const auto id = static_cast<std::uint32_t>(rows.fields.size());
      block->column(id, id).put(0, field.value, field.quality);
      rows.fields.push_back(field.name);
    }
    block->fill_up();
    rows.block = std::move(block);
    all.push_back(std::move(rows));
  }
  return all;
}

/// Readings of one device, and what keeps them.
struct Batch {
  Batch(std::vector<Reading> readings, storage::DeviceVersion version)
      : rows(rows_of(readings)), device(std::move(version)) {
    for (const auto& one : rows) outgoing.push_back({&one, 0, &device});
  }
  operator std::span<const Outgoing>() const { return outgoing; }

  std::vector<storage::Rows> rows;
  storage::DeviceVersion device;
  std::vector<Outgoing> outgoing;
};

}  // namespace wattd::sync
