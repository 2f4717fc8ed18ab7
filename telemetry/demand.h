#pragma once
#include <optional>
#include <span>
#include <vector>

#include "telemetry/calendar.h"
#include "telemetry/counter.h"

namespace wattd {

/// The energy of a stretch of time, and how much of it was measured.
/// Units: milliwatt-hours.
struct EnergyBlock {
  TimeRange range;
  std::int64_t milli = 0;
  double coverage = 0;  ///< The share of the time for which readings stand, 0 to 1.

  /// Average power over the block.
  /// Units: kW. Sign: + is import.
  double demand_kw() const;
  /// An incomplete block never sets a peak.
  bool is_complete() const { return coverage >= .95; }
  bool operator==(const EnergyBlock&) const = default;
};

/// The blocks of `length` (a divisor of an hour) that a range touches, aligned to the site's clock, with the energy of
/// increments in order of time. What was counted over a silence of more than a quarter of an hour, or while the clock
/// was being put right, counts as energy, but as no coverage.
std::vector<EnergyBlock> energy_blocks(std::span<const Increment> increments, const Calendar& calendar, TimeRange range,
                                       std::chrono::minutes length);

/// Adds other blocks of the same ranges, times `sign`; the sum is covered as its worst part is.
void add_blocks(std::vector<EnergyBlock>& sum, std::span<const EnergyBlock> part, int sign);

/// Windows of `count` adjoining blocks, one ending with each block: sliding demand.
std::vector<EnergyBlock> slide(std::span<const EnergyBlock> blocks, std::size_t count);

/// The complete block with the highest demand within a range; nothing when there is none.
std::optional<EnergyBlock> peak_of(std::span<const EnergyBlock> blocks, TimeRange range);

}  // namespace wattd
