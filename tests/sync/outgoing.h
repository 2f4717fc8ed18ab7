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
  for (const auto& reading : readings) all.push_back(storage::rows_of(reading));
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
