#include "storage/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "storage/texts.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

constexpr std::string_view kSelectDeadLetters =
    "SELECT id, received_at, source, topic, payload, reason, detail, replayed_at FROM dead_letters";

StoredDeadLetter dead_letter_from(const Statement& row) {
  StoredDeadLetter stored;
  stored.id = row.integer(0);
  stored.letter.message = {.source = row.text(2), .topic = row.text(3), .received = row.time(1)};
  const auto payload = row.blob(4);
  stored.letter.message.payload.assign(reinterpret_cast<const char*>(payload.data()), payload.size());
  stored.reason = row.text(5);
  stored.letter.detail = row.text(6);
  stored.replayed_at = row.time_if(7);
  return stored;
}

/// Runs `work` and turns what SQLite throws into an Error.
template <class Work>
auto guarded(Work work) -> Result<decltype(work())> {
  try {
    return work();
  } catch (const SqlError& problem) {
    return std::unexpected(problem.to_error());
  }
}

constexpr bool contains(TimeRange range, Timestamp at) { return at >= range.from && at < range.to; }

}  // namespace

std::optional<Aggregate> aggregate_from(std::string_view text) {
  static constexpr std::array<std::string_view, 7> kNames{"mean", "min", "max", "sum", "count", "first", "last"};
  const auto found = std::ranges::find(kNames, text == "avg" ? "mean" : text);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Aggregate>(found - kNames.begin());
}

double value_of(const Rollup& rollup, Aggregate aggregate) {
  switch (aggregate) {
    case Aggregate::mean: return rollup.sum / static_cast<double>(rollup.count);
    case Aggregate::min: return rollup.min;
    case Aggregate::max: return rollup.max;
    case Aggregate::sum: return rollup.sum;
    case Aggregate::count: return static_cast<double>(rollup.count);
    case Aggregate::first: return rollup.first;
    case Aggregate::last: return rollup.last;
  }
  return 0;
}

Reader::Reader(const std::string& path) : database_(path, Database::Mode::reader) {}

const Reader::SeriesName& Reader::name_of(std::uint32_t series_id) {
  if (const auto known = names_.find(series_id); known != names_.end()) return known->second;
  Statement row(database_, "SELECT device_id, field FROM series JOIN devices USING (device_key) WHERE series_id=?");
  row.bind(std::int64_t{series_id});
  if (!row.step()) throw SqlError(11, fmt::format("series {} is not in the catalogue", series_id));
  return names_.emplace(series_id, SeriesName{row.text(0), row.text(1)}).first->second;
}

const std::string& Reader::device_of(std::uint32_t device_key) {
  if (const auto known = devices_.find(device_key); known != devices_.end()) return known->second;
  Statement row(database_, "SELECT device_id FROM devices WHERE device_key=?");
  row.bind(std::int64_t{device_key});
  if (!row.step()) throw SqlError(11, fmt::format("device {} is not in the catalogue", device_key));
  return devices_.emplace(device_key, row.text(0)).first->second;
}

std::optional<std::uint32_t> Reader::find_series(const Series& series) {
  Statement row(database_,
                "SELECT series_id FROM series JOIN devices USING (device_key) WHERE device_id=? AND field=?");
  row.bind(series.device_id).bind(series.field);
  if (!row.step()) return std::nullopt;
  return static_cast<std::uint32_t>(row.integer(0));
}

std::vector<std::int64_t> Reader::hours_in(TimeRange range) {
  std::vector<std::int64_t> hours;
  // One seek an hour through the index, instead of a scan of every segment in the range.
  Statement next(database_, "SELECT min(hour) FROM segments WHERE hour>=? AND hour<=?");
  for (auto from = hour_of(range.from); range.from < range.to;) {
    next.bind(from).bind(hour_of(range.to - std::chrono::microseconds{1}));
    if (!next.step() || next.is_null(0)) break;
    hours.push_back(next.integer(0));
    from = hours.back() + 1;
    next.reset();
  }
  return hours;
}

void Reader::for_each_block(std::int64_t hour, const WantsSeries& wants,
                            const std::function<void(const Block&)>& visit) {
  // One segment a statement: the read transaction ends before the block is looked at, so no reader pins the WAL.
  Statement row(database_, "SELECT seq, body FROM segments WHERE hour=? AND seq>? ORDER BY seq LIMIT 64");
  for (std::int64_t after = 0;;) {
    std::vector<std::vector<std::uint8_t>> bodies;
    row.bind(hour).bind(after);
    while (row.step()) {
      after = row.integer(0);
      const auto body = row.blob(1);
      bodies.emplace_back(body.begin(), body.end());
    }
    row.reset();
    if (bodies.empty()) return;
    for (const auto& body : bodies) {
      const auto blocks = decode_segment(body, wants);
      if (!blocks) {
        log::error("a segment is damaged and left out of the answer: " + blocks.error().message);
        continue;
      }
      for (const auto& block : *blocks) visit(block);
    }
  }
}

Result<std::vector<Sample>> Reader::range(const Series& series, TimeRange range, std::size_t limit) {
  return guarded([&] {
    std::vector<Sample> samples;
    const auto id = find_series(series);
    if (!id) return samples;
    for (const auto hour : hours_in(range)) {
      std::map<Timestamp, Sample> in_hour;
      for_each_block(
          hour, [&](std::uint32_t other) { return other == *id; },
          [&](const Block& block) {
            for (const auto& column : block.columns) {
              for (std::size_t i = 0; i < column.values.size(); ++i) {
                if (!column.present[i] || !contains(range, block.at[i])) continue;
                in_hour.insert_or_assign(
                    block.at[i], Sample{block.at[i], column.values[i], column.qualities[i] | block.qualities[i]});
              }
            }
          });
      for (auto& [at, sample] : in_hour) {
        samples.push_back(std::move(sample));
        if (samples.size() == limit) return samples;
      }
    }
    return samples;
  });
}

void Reader::add_reading(const Block& block, std::size_t row, Reading& reading) {
  reading.device_id = device_of(block.device_key);
  reading.at = block.at[row];
  reading.received = block.received[row];
  reading.device_version = block.device_version;
  reading.quality |= block.qualities[row];
  for (const auto& column : block.columns) {
    if (!column.present[row]) continue;
    const auto& name = name_of(column.series_id).field;
    const auto known = std::ranges::find(reading.fields, name, &Field::name);
    Field field{name, column.values[row], column.qualities[row]};
    if (known == reading.fields.end()) reading.fields.push_back(std::move(field));
    else *known = std::move(field);
  }
}

Result<std::vector<Reading>> Reader::readings(const std::string& device_id, const std::vector<std::string>& fields,
                                              TimeRange range, std::size_t limit) {
  return guarded([&] {
    std::vector<Reading> result;
    for (const auto hour : hours_in(range)) {
      std::map<Timestamp, Reading> in_hour;
      const auto wants = [&](std::uint32_t id) {
        const auto& name = name_of(id);
        return name.device_id == device_id && (fields.empty() || std::ranges::find(fields, name.field) != fields.end());
      };
      for_each_block(hour, wants, [&](const Block& block) {
        if (block.columns.empty()) return;
        for (std::size_t i = 0; i < block.at.size(); ++i) {
          if (contains(range, block.at[i])) add_reading(block, i, in_hour[block.at[i]]);
        }
      });
      for (auto& [at, reading] : in_hour) {
        if (reading.fields.empty()) continue;
        result.push_back(std::move(reading));
        if (result.size() == limit) return result;
      }
    }
    return result;
  });
}

std::vector<Rollup> Reader::stored_rollups(std::uint32_t series_id, TimeRange range, const char* table) {
  Statement row(database_, fmt::format("SELECT start, count, min, max, sum, first, last FROM {} WHERE series_id=? AND "
                                       "start>=? AND start<? ORDER BY start",
                                       table));
  row.bind(std::int64_t{series_id}).bind(range.from).bind(range.to);
  std::vector<Rollup> rollups;
  while (row.step()) {
    rollups.push_back({row.time(0), row.integer(1), row.real(2), row.real(3), row.real(4), row.real(5), row.real(6)});
  }
  return rollups;
}

std::vector<Rollup> Reader::raw_buckets(std::uint32_t series_id, TimeRange range, std::chrono::microseconds interval) {
  std::vector<Rollup> buckets;
  for (const auto hour : hours_in(range)) {
    std::map<Timestamp, double> samples;
    for_each_block(
        hour, [&](std::uint32_t id) { return id == series_id; },
        [&](const Block& block) {
          for (const auto& column : block.columns) {
            for (std::size_t i = 0; i < column.values.size(); ++i) {
              const auto value = column.present[i] ? as_number(column.values[i]) : std::nullopt;
              if (value && std::isfinite(*value) && contains(range, block.at[i]))
                samples.insert_or_assign(block.at[i], *value);
            }
          }
        });
    for (const auto& [at, value] : samples) {
      const auto us = to_unix_us(at);
      const auto start = from_unix_us(us - (us % interval.count() + interval.count()) % interval.count());
      if (buckets.empty() || buckets.back().start != start) buckets.push_back({.start = start});
      buckets.back().add(value);
    }
  }
  return buckets;
}

Result<std::vector<Rollup>> Reader::aggregate(const Series& series, TimeRange range, std::chrono::microseconds interval,
                                              std::size_t limit) {
  return guarded([&] {
    const auto id = find_series(series);
    if (!id) return std::vector<Rollup>{};
    std::vector<Rollup> buckets;
    const bool whole_hours = interval % std::chrono::hours{1} == std::chrono::microseconds{0} &&
                             range.from == std::chrono::floor<std::chrono::hours>(range.from);
    if (!whole_hours) {
      buckets = raw_buckets(*id, range, interval);
    } else {
      // Rolled-up hours first; an hour that is still pending, or that the range cuts, comes from its raw samples.
      std::map<Timestamp, Rollup> hours;
      for (auto& hour : stored_rollups(*id, range, "rollups_hourly")) hours.emplace(hour.start, hour);
      std::vector<Timestamp> fresh;
      // An hour the ring has overwritten in part has its rollup alone.
      Statement pending(database_,
                        "SELECT hour FROM rollup_pending WHERE hour > (SELECT hour FROM ring_floor) UNION "
                        "SELECT ?1 WHERE ?1 > (SELECT hour FROM ring_floor)");
      pending.bind(hour_of(range.to));
      while (pending.step()) fresh.push_back(Timestamp{std::chrono::hours{pending.integer(0)}});
      pending.reset();
      for (const auto start : fresh) {
        const TimeRange one{std::max(start, range.from), std::min(start + std::chrono::hours{1}, range.to)};
        if (one.from >= one.to) continue;
        hours.erase(start);
        for (const auto& hour : raw_buckets(*id, one, std::chrono::hours{1})) hours.emplace(hour.start, hour);
      }
      for (const auto& [start, hour] : hours) {
        const auto us = to_unix_us(start);
        const auto bucket = from_unix_us(us - (us % interval.count() + interval.count()) % interval.count());
        if (buckets.empty() || buckets.back().start != bucket) buckets.push_back({.start = bucket});
        buckets.back().add(hour);
      }
    }
    if (buckets.size() > limit) buckets.resize(limit);
    return buckets;
  });
}

Result<std::vector<SeriesInfo>> Reader::series_of(const std::string& device_id) {
  return guarded([&] {
    std::vector<SeriesInfo> series;
    Statement row(database_,
                  "SELECT field, ifnull(measurand,''), ifnull(unit,'') FROM series JOIN devices USING (device_key) "
                  "WHERE device_id=? ORDER BY series_id");
    row.bind(device_id);
    while (row.step()) series.push_back({row.text(0), row.text(1), row.text(2)});
    return series;
  });
}

Result<std::uint64_t> Reader::count_samples(TimeRange range) {
  return guarded([&] {
    std::uint64_t count = 0;
    for (const auto hour : hours_in(range)) {
      std::set<std::pair<std::uint32_t, std::int64_t>> keys;
      for_each_block(hour, {}, [&](const Block& block) {
        for (const auto& column : block.columns) {
          for (std::size_t i = 0; i < column.values.size(); ++i) {
            if (!column.present[i] || !is_number(column.values[i]) || !contains(range, block.at[i])) continue;
            keys.emplace(column.series_id, to_unix_us(block.at[i]));
          }
        }
      });
      count += keys.size();
    }
    return count;
  });
}

Result<Batch> Reader::batch_after(std::uint64_t after_seq, std::size_t max_readings) {
  return guarded([&]() -> Batch {
    Batch batch;
    std::vector<std::vector<std::uint8_t>> bodies;
    {
      Statement row(database_, "SELECT seq, readings, body FROM segments WHERE seq>? ORDER BY seq LIMIT 1000");
      row.bind(static_cast<std::int64_t>(after_seq));
      std::size_t found = 0;
      while (found < max_readings && row.step()) {
        batch.last_seq = static_cast<std::uint64_t>(row.integer(0));
        found += static_cast<std::size_t>(row.integer(1));
        const auto body = row.blob(2);
        bodies.emplace_back(body.begin(), body.end());
      }
    }
    for (const auto& body : bodies) {
      const auto blocks = decode_segment(body);
      if (!blocks) {
        log::error("a segment is damaged and cannot be sent: " + blocks.error().message);
        continue;
      }
      for (const auto& block : *blocks) {
        for (std::size_t i = 0; i < block.at.size(); ++i) add_reading(block, i, batch.readings.emplace_back());
      }
    }
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

Result<std::vector<StoredDeadLetter>> Reader::dead_letters(std::size_t limit, std::int64_t before_id) {
  return guarded([&] {
    Statement row(database_, std::string(kSelectDeadLetters) + " WHERE id<? ORDER BY id DESC LIMIT ?");
    row.bind(before_id).bind(static_cast<std::int64_t>(limit));
    std::vector<StoredDeadLetter> letters;
    while (row.step()) letters.push_back(dead_letter_from(row));
    return letters;
  });
}

Result<std::optional<StoredDeadLetter>> Reader::dead_letter(std::int64_t id) {
  return guarded([&]() -> std::optional<StoredDeadLetter> {
    Statement row(database_, std::string(kSelectDeadLetters) + " WHERE id=?");
    row.bind(id);
    if (!row.step()) return std::nullopt;
    return dead_letter_from(row);
  });
}

Result<std::vector<Alert>> Reader::alerts(const std::string& status, const std::string& device_id, std::size_t limit) {
  return guarded([&] {
    Statement row(database_,
                  std::string(kSelectAlerts) +
                      " WHERE (?1='' OR status=?1) AND (?2='' OR device_id=?2) ORDER BY created_at DESC LIMIT ?3");
    row.bind(status).bind(device_id).bind(static_cast<std::int64_t>(limit));
    std::vector<Alert> alerts;
    while (row.step()) alerts.push_back(alert_from(row));
    return alerts;
  });
}

}  // namespace wattd::storage
