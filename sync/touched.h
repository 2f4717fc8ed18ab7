#pragma once
#include <algorithm>
#include <map>
#include <string>

#include "storage/reader.h"

namespace wattd::sync {

/// Beginnings of intervals, each with when the last of the readings came that touched it.
using Intervals = std::map<Timestamp, Timestamp>;
/// By device.
using Touched = std::map<std::string, Intervals>;

/// Intervals, as `interval_of` says, with readings between a position, which moves on, and a segment; looks until
/// there are `most`. Of chunks, which hold what the ring has overwritten, some may lie beyond the segment.
/// Errors: of storage::Reader.
template <class IntervalOf>
Result<Touched> touched_after(storage::Reader& reader, storage::Position& position, std::uint64_t end, std::size_t most,
                              IntervalOf interval_of) {
  constexpr std::size_t kReadAtOnce = 5000;
  Touched touched;
  for (std::size_t count = 0; count < most && position.seq < end;) {
    auto batch = reader.batch_after(position, kReadAtOnce, end);
    if (!batch) return std::unexpected(batch.error());
    if (batch->end == position) {
      position = {.seq = end};  // nothing of it is there any more
      break;
    }
    position = batch->end;
    for (const auto& rows : batch->parts) {
      auto& starts = touched[rows.device_id];
      const auto before = starts.size();
      TimeRange interval{};
      Timestamp* latest = nullptr;
      for (std::size_t row = 0; row < rows.size(); ++row) {
        const auto at = from_unix_us(rows.block->at_us[row]);
        if (!interval.contains(at)) {
          interval = interval_of(at);
          latest = &starts[interval.from];
        }
        *latest = std::max(*latest, rows.received(row));
      }
      count += starts.size() - before;
    }
  }
  return touched;
}

}  // namespace wattd::sync
