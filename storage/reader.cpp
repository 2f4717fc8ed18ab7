#include "storage/reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "storage/guarded.h"
#include "storage/held.h"
#include "storage/segment.h"
#include "storage/state.h"
#include "storage/texts.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

constexpr int kChunksAtOnce = 64;

}  // namespace

Reader::Reader(const std::string& path, Vault vault)
    : database_(path, Database::Mode::reader, std::move(vault)),
      calendar_(load_text(database_, "zone", "UTC")),
      history_(database_) {}

RollupRows& Reader::rollups(RollupRows::Table table) {
  auto& rows = table == RollupRows::Table::hourly ? hourly_ : daily_;
  if (!rows) rows.emplace(database_, table);
  return *rows;
}

const std::string& Reader::field_of(std::uint32_t series_id) {
  if (const auto known = fields_.find(series_id); known != fields_.end()) return known->second;
  Statement row(database_, "SELECT field FROM series WHERE series_id=?");
  row.bind(std::int64_t{series_id});
  if (!row.step()) throw SqlError(11, fmt::format("series {} is not in the catalogue", series_id));
  return fields_.emplace(series_id, row.text(0)).first->second;
}

const std::string& Reader::device_of(std::uint32_t device_key) {
  if (const auto known = devices_.find(device_key); known != devices_.end()) return known->second;
  Statement row(database_, "SELECT device_id FROM devices WHERE device_key=?");
  row.bind(std::int64_t{device_key});
  if (!row.step()) throw SqlError(11, fmt::format("device {} is not in the catalogue", device_key));
  return devices_.emplace(device_key, row.text(0)).first->second;
}

std::optional<std::uint32_t> Reader::find_device(const std::string& device_id) {
  Statement row(database_, "SELECT device_key FROM devices WHERE device_id=?");
  row.bind(device_id);
  return row.step() ? std::optional(static_cast<std::uint32_t>(row.integer(0))) : std::nullopt;
}

std::optional<Reader::Place> Reader::find_series(const Series& series) {
  Statement row(
      database_,
      "SELECT device_key, series_id FROM series JOIN devices USING (device_key) WHERE device_id=? AND field=?");
  row.bind(series.device_id).bind(series.field);
  if (!row.step()) return std::nullopt;
  return Place{static_cast<std::uint32_t>(row.integer(0)), static_cast<std::uint32_t>(row.integer(1))};
}

Result<std::vector<Sample>> Reader::range(const Series& series, TimeRange range, std::size_t limit) {
  return guarded([&] {
    std::vector<Sample> samples;
    const auto place = find_series(series);
    if (!place) return samples;
    const auto wants = [&](std::uint32_t id) { return id == place->series_id; };
    history_.visit(place->device_key, range, wants, [&](const Block& block) {
      for (const auto& column : block.columns) {
        for (std::size_t row = 0; row < block.rows() && samples.size() < limit; ++row) {
          if (!column.has(row)) continue;
          const auto quality = column.quality(row) | block.quality(row);
          samples.push_back({from_unix_us(block.at_us[row]), column.values[row], quality});
        }
      }
      return samples.size() < limit;
    });
    return samples;
  });
}

Reading Reader::reading_of(const Block& block, std::size_t row) {
  Reading reading{.device_id = device_of(block.device_key),
                  .at = from_unix_us(block.at_us[row]),
                  .received = from_unix_us(block.received_us.empty() ? block.at_us[row] : block.received_us[row]),
                  .device_version = block.versions[row],
                  .quality = block.quality(row),
                  .fields = {}};
  for (const auto& column : block.columns) {
    if (column.has(row))
      reading.fields.push_back({field_of(column.series_id), column.values[row], column.quality(row)});
  }
  return reading;
}

Result<void> Reader::visit(const std::string& device_id, const std::vector<std::string>& fields, TimeRange range,
                           const std::function<bool(Reading)>& visit) {
  const auto done = guarded([&] {
    const auto device = find_device(device_id);
    if (!device) return true;
    const auto wants = [&](std::uint32_t id) {
      return fields.empty() || std::ranges::find(fields, field_of(id)) != fields.end();
    };
    history_.visit(*device, range, wants, [&](const Block& block) {
      for (std::size_t row = 0; row < block.rows(); ++row) {
        auto reading = reading_of(block, row);
        if (!reading.fields.empty() && !visit(std::move(reading))) return false;
      }
      return true;
    });
    return true;
  });
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<void> Reader::visit_unpacked(Timestamp from, const std::function<void(const Reading&)>& visit) {
  const auto done = guarded([&] {
    for (const auto& block : history_.tail([](std::uint32_t) { return true; }, {from, kAlways.to})) {
      for (std::size_t row = 0; row < block.rows(); ++row) visit(reading_of(block, row));
    }
    return true;
  });
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<std::vector<Reading>> Reader::readings(const std::string& device_id, const std::vector<std::string>& fields,
                                              TimeRange range, std::size_t limit) {
  std::vector<Reading> result;
  const auto done = visit(device_id, fields, range, [&](Reading reading) {
    result.push_back(std::move(reading));
    return result.size() < limit;
  });
  if (!done) return std::unexpected(done.error());
  return result;
}

Result<std::vector<Latest>> Reader::latest(const std::string& device_id) {
  return guarded([&] {
    std::vector<Latest> found;
    const auto device = find_device(device_id);
    if (!device) return found;
    std::map<std::uint32_t, Sample> newest;
    const auto take = [&](const Block& block) {
      for (const auto& column : block.columns) {
        for (auto row = block.rows(); row-- > 0;) {
          if (!column.has(row)) continue;
          const auto quality = column.quality(row) | block.quality(row);
          newest.try_emplace(column.series_id, Sample{from_unix_us(block.at_us[row]), column.values[row], quality});
          break;
        }
      }
    };
    for (const auto& block : held_of(database_, *device)) take(block);
    if (const auto tail = history_.tail_of(*device, kAlways, {})) take(*tail);
    // Fields that come rarely stand further back; the heads say where.
    Statement last(database_, fmt::format("SELECT {} FROM chunks WHERE chunk_id BETWEEN ? AND ? ORDER BY chunk_id DESC "
                                          "LIMIT ?",
                                          kChunkColumns));
    last.bind(chunk_id(*device, 0)).bind(chunk_id(*device, INT64_MAX)).bind(std::int64_t{kChunksAtOnce});
    while (last.step()) {
      const auto stored = chunk_from(database_.vault(), last);
      const auto head = decode_chunk_head(stored.head);
      if (!head || std::ranges::all_of(head->series, [&](const auto& one) { return newest.contains(one.series_id); }))
        continue;
      if (const auto block = decode_chunk(stored.head, stored.body)) take(*block);
    }
    Statement row(database_,
                  "SELECT series_id, field, ifnull(measurand,''), ifnull(unit,'') FROM series WHERE device_key=? ORDER "
                  "BY series_id");
    row.bind(std::int64_t{*device});
    while (row.step()) {
      const auto sample = newest.find(static_cast<std::uint32_t>(row.integer(0)));
      if (sample != newest.end()) found.push_back({{row.text(1), row.text(2), row.text(3)}, sample->second});
    }
    return found;
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
    std::vector<std::uint32_t> devices;
    Statement row(database_, "SELECT device_key FROM devices");
    while (row.step()) devices.push_back(static_cast<std::uint32_t>(row.integer(0)));
    for (const auto device : devices) {
      history_.visit(device, range, {}, [&](const Block& block) {
        for (const auto& column : block.columns) {
          for (std::size_t i = 0; i < block.rows(); ++i) count += column.has(i) && column.values.number(i).has_value();
        }
        return true;
      });
    }
    return count;
  });
}

Result<std::vector<StoredDeadLetter>> Reader::dead_letters(std::size_t limit, std::int64_t before_id) {
  return guarded([&] {
    Statement row(database_, std::string(kSelectDeadLetters) + " WHERE id<? ORDER BY id DESC LIMIT ?");
    row.bind(before_id).bind(static_cast<std::int64_t>(limit));
    std::vector<StoredDeadLetter> letters;
    while (row.step()) letters.push_back(dead_letter_from(database_.vault(), row));
    return letters;
  });
}

Result<std::optional<StoredDeadLetter>> Reader::dead_letter(std::int64_t id) {
  return guarded([&]() -> std::optional<StoredDeadLetter> {
    Statement row(database_, std::string(kSelectDeadLetters) + " WHERE id=?");
    row.bind(id);
    if (!row.step()) return std::nullopt;
    return dead_letter_from(database_.vault(), row);
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

Result<std::optional<Alert>> Reader::alert(const std::string& id) {
  return guarded([&]() -> std::optional<Alert> {
    Statement row(database_, std::string(kSelectAlerts) + " WHERE alert_id=?");
    row.bind(id);
    if (!row.step()) return std::nullopt;
    return alert_from(row);
  });
}

Result<std::vector<Rule>> Reader::rules() {
  return guarded([&] { return load_rules(database_); });
}

Result<std::optional<Rule>> Reader::rule(const std::string& id) {
  return guarded([&] { return load_rule(database_, id); });
}

Result<std::vector<Delivery>> Reader::deliveries(const std::string& alert_id, const std::string& status,
                                                 std::size_t limit) {
  return guarded([&] {
    Statement row(database_, std::string(kSelectDeliveries) +
                                 " WHERE (?1='' OR alert_id=?1) AND (?2='' OR status=?2) ORDER BY rowid DESC LIMIT ?3");
    row.bind(alert_id).bind(status).bind(static_cast<std::int64_t>(limit));
    std::vector<Delivery> deliveries;
    while (row.step()) deliveries.push_back(delivery_from(row));
    return deliveries;
  });
}

Result<std::vector<Silence>> Reader::silences(Timestamp now) {
  return guarded([&] { return load_silences(database_, now); });
}

Result<std::vector<AuditEntry>> Reader::audit(const std::string& subject, std::size_t limit) {
  return guarded([&] { return load_audit(database_, subject, limit); });
}

}  // namespace wattd::storage
