// The Reader's aggregations: from rollups where hours are whole, from readings where they are not.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/container/flat_map.hpp>
#include <cmath>
#include <limits>

#include "storage/guarded.h"
#include "storage/reader.h"
#include "storage/retention.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;

double hours_in(TimeRange range) {
  return std::chrono::duration<double, std::ratio<3600>>(range.to - range.from).count();
}

Timestamp floor_to(Timestamp at, std::chrono::microseconds length) {
  const auto us = to_unix_us(at);
  return from_unix_us(us - (us % length.count() + length.count()) % length.count());
}

}  // namespace

// They are read in order: side by side, and no allocation each.
struct Reader::Hours : boost::container::flat_map<Timestamp, std::pair<Rollup, TimeRange>> {};

std::optional<Aggregate> aggregate_from(std::string_view text) {
  static constexpr std::array<std::string_view, 8> kNames{"mean",  "min",   "max",  "sum",
                                                          "count", "first", "last", "energy"};
  const auto found = std::ranges::find(kNames, text == "avg" ? "mean" : text);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Aggregate>(found - kNames.begin());
}

std::optional<double> value_of(const Rollup& rollup, Aggregate aggregate) {
  if (aggregate == Aggregate::count) return static_cast<double>(rollup.count);
  if (aggregate == Aggregate::energy)
    return rollup.milli ? std::optional(static_cast<double>(*rollup.milli) / 1e6) : std::nullopt;
  if (rollup.count == 0) return std::nullopt;
  switch (aggregate) {
    case Aggregate::mean: return rollup.sum / static_cast<double>(rollup.count);
    case Aggregate::min: return rollup.min;
    case Aggregate::max: return rollup.max;
    case Aggregate::sum: return rollup.sum;
    case Aggregate::first: return rollup.first;
    case Aggregate::last: return rollup.last;
    default: return std::nullopt;
  }
}

TimeRange Reader::bucket_of(Timestamp at, const Step& step, TimeRange range) const {
  switch (step.unit) {
    case Step::Unit::hour: return calendar_.hour_of(at);
    case Step::Unit::day: return calendar_.day_of(at);
    case Step::Unit::month: return calendar_.month_of(at);
    case Step::Unit::whole: return range;
    case Step::Unit::fixed: break;
  }
  const auto start = floor_to(at, step.length);
  return {start, start + step.length};
}

/// When that begins whose rollups have not been computed.
std::optional<Timestamp> Reader::first_waiting(std::uint32_t device_key, const std::optional<Block>& tail) {
  std::optional<Timestamp> first;
  if (tail && tail->rows() > 0) first = from_unix_us(tail->at_us.front());
  Statement pending(database_, "SELECT min(start) FROM rollup_pending WHERE device_key=? AND until-start<=3600000000");
  pending.bind(std::int64_t{device_key});
  if (pending.step() && !pending.is_null(0)) first = std::min(first.value_or(pending.time(0)), pending.time(0));
  return first;
}

void Reader::add_energy(const Place& place, TimeRange range, const std::optional<Block>& tail,
                        const std::function<void(const Increment&)>& visit) {
  const auto rules = load_series_rules(database_, place.device_key);
  const auto own = std::ranges::find(rules, place.series_id, &SeriesRules::series_id);
  if (own == rules.end() || !own->counter) return;
  // From the hour in which the counter was heard before the range, to the first it says behind it.
  auto from = calendar_.hour_of(range.from).from;  // states are those of the ends of hours
  auto state = counter_before(database_, place.series_id, from);
  if (state.accepted) {
    // An hour that may have lost readings cannot be gone through again; where the counter stood at its end is known.
    const auto heard = calendar_.hour_of(state.accepted->at).from;
    if (heard >= raw_floor_of(database_, calendar_, place.device_key)) from = std::min(from, heard);
  } else {
    // No hour has told yet where it stood: what it said before is among what waits.
    from = std::min(from, first_waiting(place.device_key, tail).value_or(from));
  }
  state = counter_before(database_, place.series_id, from);
  Counter counter(own->rules, std::move(state));
  auto settled = from;
  const auto wants = [&](std::uint32_t id) { return id == place.series_id; };
  history_.merge(place.device_key, {from, kAlways.to}, wants, tail, [&](const Block& block) {
    for (const auto& column : block.columns) {
      for (std::size_t row = 0; row < block.rows() && settled < range.to; ++row) {
        const auto value = column.has(row) ? column.values.number(row) : std::nullopt;
        if (!value) continue;
        const CounterReading reading{from_unix_us(block.at_us[row]), *value};
        for (const auto& increment : counter.take(reading, column.quality(row) | block.quality(row)))
          visit(increment), settled = increment.to;
      }
    }
    return settled < range.to;
  });
}

std::vector<Rollup> Reader::raw_buckets(const Place& place, TimeRange range, const Step& step, TimeRange whole,
                                        const std::optional<Block>& tail, std::vector<std::int64_t>* stamps) {
  // Samples come in order of time, and so do buckets; what a counter counted may belong to earlier ones.
  std::vector<Rollup> buckets;
  auto bucket = TimeRange{};
  if (step.unit == Step::Unit::fixed)
    buckets.reserve(
        static_cast<std::size_t>(std::min<std::int64_t>((range.to - range.from) / step.length + 2, 100'000)));
  const auto wants = [&](std::uint32_t id) { return id == place.series_id; };
  const auto bucket_at = [&](Timestamp at) -> Rollup& {
    if (!buckets.empty() && bucket.contains(at)) return buckets.back();
    const auto wanted = bucket_of(at, step, whole);
    if (buckets.empty() || buckets.back().start < wanted.from) {
      bucket = wanted;
      buckets.push_back({.start = wanted.from});
      return buckets.back();
    }
    const auto place_of = std::ranges::lower_bound(buckets, wanted.from, {}, &Rollup::start);
    if (place_of->start == wanted.from) return *place_of;
    return *buckets.insert(place_of, {.start = wanted.from});
  };
  history_.merge(place.device_key, range, wants, tail, [&](const Block& block) {
    for (const auto& column : block.columns) {
      const auto* reals = std::get_if<std::vector<double>>(&column.values.content());
      for (std::size_t row = 0; row < block.rows(); ++row) {
        if (!column.has(row)) continue;
        const auto value = reals != nullptr ? std::optional((*reals)[row]) : column.values.number(row);
        if (!value || !std::isfinite(*value)) continue;
        auto& rollup = bucket_at(from_unix_us(block.at_us[row]));
        rollup.add(*value);
        rollup.quality |= column.quality(row) | block.quality(row);
        if (stamps != nullptr) stamps->push_back(block.at_us[row]);
      }
    }
    return true;
  });
  add_energy(place, range, tail, [&](const Increment& increment) {
    for (auto at = std::max(increment.from, range.from); at < std::min(increment.to, range.to);) {
      const auto slot = bucket_of(at, step, whole);
      const TimeRange part{std::max(slot.from, range.from), std::min(slot.to, range.to)};
      auto& rollup = bucket_at(at);
      rollup.milli = rollup.milli.value_or(0) + increment.within(part);
      rollup.quality |= increment.quality;
      at = part.to;
    }
  });
  return buckets;
}

bool Reader::has_whole_hours(TimeRange range) const {
  const auto aligned = [&](Timestamp at) {
    const auto hour = calendar_.hour_of(at);
    return floor_to(hour.from, 1h) == hour.from && hour.to - hour.from == 1h;
  };
  return aligned(range.from) && aligned(range.to);
}

/// Hours whose rollups do not tell all: not ended, or with readings that came since.
std::vector<TimeRange> Reader::hours_to_compute(const Place& place, TimeRange range, const std::optional<Block>& tail) {
  std::vector<TimeRange> hours;
  const auto add = [&](TimeRange hour) {
    const TimeRange inside{std::max(hour.from, range.from), std::min(hour.to, range.to)};
    if (inside.from < inside.to) hours.push_back(inside);
  };
  // The first and the last hour may be cut.
  if (const auto first = calendar_.hour_of(range.from); first.from != range.from) add(first);
  if (const auto last = calendar_.hour_of(range.to); last.from != range.to) add(last);
  Statement pending(database_, "SELECT start, until FROM rollup_pending WHERE device_key=? AND until>? AND start<?");
  pending.bind(std::int64_t{place.device_key}).bind(range.from).bind(range.to);
  while (pending.step()) {
    if (pending.time(1) - pending.time(0) <= 1h) add({pending.time(0), pending.time(1)});
  }
  if (tail) {
    TimeRange hour{};
    for (const auto us : tail->at_us) {
      if (!hour.contains(from_unix_us(us))) add(hour = calendar_.hour_of(from_unix_us(us)));
    }
  }
  std::ranges::sort(hours, {}, &TimeRange::from);
  hours.erase(std::ranges::unique(hours).begin(), hours.end());
  return hours;
}

/// What a counter says counts in the hours since it was heard before: from the first hour that rollups do not tell all
/// of, its energy is counted from its readings.
void Reader::count_energy_anew(const Place& place, TimeRange range, const std::optional<Block>& tail, Hours& hours) {
  const auto waiting = first_waiting(place.device_key, tail);
  if (!waiting) return;
  const auto floor = raw_floor_of(database_, calendar_, place.device_key);
  auto first = std::max(calendar_.hour_of(*waiting).from, floor);
  if (const auto before = counter_before(database_, place.series_id, first); before.accepted)
    first = std::min(first, std::max(calendar_.hour_of(before.accepted->at).from, floor));
  if (first >= range.to) return;
  first = std::max(first, range.from);
  for (auto hour = hours.lower_bound(calendar_.hour_of(first).from); hour != hours.end(); ++hour)
    hour->second.first.milli.reset();
  add_energy(place, {first, range.to}, tail, [&](const Increment& increment) {
    for (auto at = std::max(increment.from, first); at < std::min(increment.to, range.to);) {
      const auto slot = calendar_.hour_of(at);
      const TimeRange part{std::max(slot.from, range.from), std::min(slot.to, range.to)};
      auto& rollup = hours.try_emplace(slot.from, Rollup{.start = slot.from}, part).first->second.first;
      rollup.milli = rollup.milli.value_or(0) + increment.within(part);
      rollup.quality |= increment.quality;
      at = part.to;
    }
  });
}

/// Whole days of the range whose hours are gone already.
void Reader::add_days_without_hours(const Place& place, TimeRange range, Hours& hours) {
  Statement oldest(database_, "SELECT min(start) FROM rollups_hourly WHERE series_id=?");
  oldest.bind(std::int64_t{place.series_id});
  auto until = range.to;
  if (oldest.step() && !oldest.is_null(0)) until = std::min(until, calendar_.day_of(oldest.time(0)).from);
  if (!hours.empty()) until = std::min(until, calendar_.day_of(hours.begin()->first).from);
  std::vector<Hours::value_type> days;
  for (const auto& day : rollups(RollupRows::Table::daily).range(place.series_id, {range.from, until})) {
    const auto whole = calendar_.day_of(day.start);
    if (whole.to <= range.to) days.emplace_back(day.start, std::pair(day, whole));
  }
  hours.insert(boost::container::ordered_unique_range, days.begin(), days.end());
}

std::vector<Rollup> Reader::hourly_buckets(const Place& place, TimeRange range, const Step& step) {
  const auto wants = [&](std::uint32_t id) { return id == place.series_id; };
  const auto tail = history_.tail_of(place.device_key, kAlways, wants);
  const auto compute = hours_to_compute(place, range, tail);
  Hours hours;
  const auto stored = rollups(RollupRows::Table::hourly).range(place.series_id, range);
  hours.reserve(stored.size() + compute.size());
  for (const auto& rollup : stored)
    hours.emplace_hint(hours.end(), rollup.start, std::pair(rollup, TimeRange{rollup.start, rollup.start + 1h}));
  for (const auto& hour : compute) {
    const auto start = calendar_.hour_of(hour.from).from;
    hours.erase(start);
    std::vector<std::int64_t> stamps;
    for (auto& rollup : raw_buckets(place, hour, Step::hours(), hour, tail, &stamps)) {
      std::vector<std::int64_t> gaps;
      add_gaps(stamps, gaps);
      rollup.coverage = coverage_of(stamps, hour, usual_gap(gaps));
      hours.emplace(rollup.start, std::pair(rollup, hour));
    }
  }
  count_energy_anew(place, range, tail, hours);
  std::vector<Rollup> buckets;
  if (step.unit != Step::Unit::hour && step.unit != Step::Unit::fixed) {
    add_days_without_hours(place, range, hours);
  }
  if (step.unit == Step::Unit::hour) buckets.reserve(hours.size());
  TimeRange bucket{};
  double covered = 0;
  const auto finish = [&] {
    if (!buckets.empty() && step.unit != Step::Unit::hour)
      buckets.back().coverage = std::min(1.0, covered / hours_in(bucket));
    covered = 0;
  };
  for (const auto& [start, hour] : hours) {
    if (hour.first.count == 0 && !hour.first.milli) continue;
    if (buckets.empty() || !bucket.contains(start)) {
      finish();
      const bool one = step.unit == Step::Unit::hour;
      bucket = one ? hour.second : bucket_of(std::max(start, range.from), step, range);
      bucket.from = one ? start : bucket.from;
      buckets.push_back({.start = bucket.from});
    }
    buckets.back().add(hour.first);
    if (step.unit == Step::Unit::hour) buckets.back().coverage = hour.first.coverage;
    covered += hour.first.coverage * hours_in(hour.second);
  }
  finish();
  return buckets;
}

Result<std::vector<Increment>> Reader::increments(const Series& series, TimeRange range) {
  return guarded([&] {
    std::vector<Increment> found;
    const auto place = find_series(series);
    if (!place || range.from >= range.to) return found;
    const auto wants = [&](std::uint32_t id) { return id == place->series_id; };
    const auto tail = history_.tail_of(place->device_key, kAlways, wants);
    add_energy(*place, range, tail, [&](const Increment& increment) {
      if (increment.to > range.from) found.push_back(increment);
    });
    return found;
  });
}

Result<std::vector<Rollup>> Reader::aggregate(const Series& series, TimeRange asked, Step step, std::size_t limit) {
  return guarded([&] {
    std::vector<Rollup> buckets;
    const auto place = find_series(series);
    const TimeRange range{std::max(asked.from, kAlways.from), std::min(asked.to, kAlways.to)};
    if (!place || range.from >= range.to) return buckets;

    const bool by_hours = step.unit != Step::Unit::fixed || (step.length % 1h == 0us && has_whole_hours(range));
    if (by_hours) {
      buckets = hourly_buckets(*place, range, step);
    } else {
      const auto wants = [&](std::uint32_t id) { return id == place->series_id; };
      const auto tail = history_.tail_of(place->device_key, kAlways, wants);
      buckets = raw_buckets(*place, range, step, range, tail, nullptr);
    }
    if (buckets.size() > limit) buckets.resize(limit);
    return buckets;
  });
}

Result<std::vector<std::vector<EnergyBlock>>> Reader::energy_blocks(std::span<const MeterTerm> terms,
                                                                    const std::string& field, TimeRange range,
                                                                    std::span<const std::chrono::minutes> lengths) {
  std::vector<std::vector<EnergyBlock>> sums(lengths.size());
  for (const auto& term : terms) {
    std::vector<std::vector<EnergyBlock>> own(lengths.size());
    // A day at a time: a meter read every second has 86,400 increments of it.
    for (auto at = range.from; at < range.to;) {
      const TimeRange day{at, std::min(range.to, calendar_.day_of(at).to)};
      const auto found = increments({term.device_id, field}, day);
      if (!found) return std::unexpected(found.error());
      for (std::size_t i = 0; i < lengths.size(); ++i)
        std::ranges::move(wattd::energy_blocks(*found, calendar_, day, lengths[i]), std::back_inserter(own[i]));
      at = day.to;
    }
    for (std::size_t i = 0; i < lengths.size(); ++i) add_blocks(sums[i], own[i], term.sign);
  }
  return sums;
}

}  // namespace wattd::storage
