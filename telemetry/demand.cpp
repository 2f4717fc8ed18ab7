#include "telemetry/demand.h"

#include <algorithm>

namespace wattd {
namespace {

using namespace std::chrono_literals;

constexpr auto kGap = 15min;  // what was counted over a longer silence is no measured demand

TimeRange block_of(const Calendar& calendar, Timestamp at, std::chrono::minutes length) {
  const auto hour = calendar.hour_of(at);
  const auto into = (at - hour.from) / length;
  return {hour.from + into * length, std::min(hour.from + (into + 1) * length, hour.to)};
}

}  // namespace

double EnergyBlock::demand_kw() const {
  const double hours = std::chrono::duration<double, std::ratio<3600>>(range.to - range.from).count();
  return static_cast<double>(milli) / 1e6 / hours;
}

std::vector<EnergyBlock> energy_blocks(std::span<const Increment> increments, const Calendar& calendar, TimeRange range,
                                       std::chrono::minutes length) {
  std::vector<EnergyBlock> blocks;
  for (auto at = range.from; at < range.to; at = blocks.back().range.to)
    blocks.push_back({.range = block_of(calendar, at, length)});
  std::vector<std::chrono::microseconds> covered(blocks.size());
  for (const auto& increment : increments) {
    const auto first =
        std::ranges::upper_bound(blocks, increment.from, {}, [](const auto& block) { return block.range.to; });
    for (auto block = first; block != blocks.end() && block->range.from < increment.to; ++block) {
      block->milli += increment.within(block->range);
      // Nor is what was counted while the clock itself moved.
      if (increment.to - increment.from > kGap || has(increment.quality, Quality::clock_adjusted)) continue;
      covered[static_cast<std::size_t>(block - blocks.begin())] +=
          std::min(increment.to, block->range.to) - std::max(increment.from, block->range.from);
    }
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const auto& whole = blocks[i].range;
    blocks[i].coverage = static_cast<double>(covered[i].count()) / static_cast<double>((whole.to - whole.from).count());
  }
  return blocks;
}

void add_blocks(std::vector<EnergyBlock>& sum, std::span<const EnergyBlock> part, int sign) {
  if (sum.empty()) {
    sum.assign(part.begin(), part.end());
    for (auto& block : sum) block.milli *= sign;
    return;
  }
  for (std::size_t i = 0; i < std::min(sum.size(), part.size()); ++i) {
    sum[i].milli += sign * part[i].milli;
    sum[i].coverage = std::min(sum[i].coverage, part[i].coverage);
  }
}

std::vector<EnergyBlock> slide(std::span<const EnergyBlock> blocks, std::size_t count) {
  std::vector<EnergyBlock> windows;
  for (std::size_t end = count; end <= blocks.size(); ++end) {
    const auto within = blocks.subspan(end - count, count);
    EnergyBlock window{.range = {within.front().range.from, within.back().range.to}};
    for (const auto& block : within)
      window.milli += block.milli, window.coverage += block.coverage / static_cast<double>(count);
    windows.push_back(window);
  }
  return windows;
}

std::optional<EnergyBlock> peak_of(std::span<const EnergyBlock> blocks, TimeRange range) {
  std::optional<EnergyBlock> peak;
  for (const auto& block : blocks) {
    if (!block.is_complete() || block.range.from < range.from || block.range.to > range.to) continue;
    if (!peak || block.demand_kw() > peak->demand_kw()) peak = block;
  }
  return peak;
}

}  // namespace wattd
