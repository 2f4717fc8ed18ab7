#include "storage/retention.h"

#include <algorithm>
#include <optional>

#include "storage/state.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

constexpr std::int64_t kAtOnce = 200;

std::vector<std::int64_t> numbers(Database& database, const char* sql) {
  Statement row(database, sql);
  std::vector<std::int64_t> found;
  while (row.step()) found.push_back(row.integer(0));
  return found;
}

class Expiry {
 public:
  Expiry(Database& database, Archive* archive, std::uint64_t settled_seq)
      : database_(database),
        archive_(archive),
        settled_seq_(settled_seq),
        old_(database,
             "SELECT chunk_id, to_at, first_seq, last_seq, head, body FROM chunks WHERE chunk_id BETWEEN ?1 AND ?2 AND "
             "to_at<?3 "
             "AND "
             "chunk_id < (SELECT max(chunk_id) FROM chunks WHERE chunk_id BETWEEN ?1 AND ?4) ORDER BY chunk_id LIMIT "
             "?5"),
        delete_(database, "DELETE FROM chunks WHERE chunk_id=?") {}

  /// Deletes the device's chunks that end before `cutoff`.
  void before(std::uint32_t device_key, Timestamp cutoff, bool disk_is_full) {
    struct Old {
      std::int64_t id, to_us;
      std::uint64_t last_seq;
      std::optional<Block> readings;
    };
    std::vector<Old> found;
    old_.bind(chunk_id(device_key, 0)).bind(chunk_id(device_key, to_unix_us(cutoff))).bind(cutoff);
    old_.bind(chunk_id(device_key, INT64_MAX)).bind(kAtOnce);
    while (old_.step()) {
      Old chunk{old_.integer(0), old_.integer(1), static_cast<std::uint64_t>(old_.integer(3)), {}};
      if (archive_ != nullptr) {
        const auto stored = chunk_from(database_.vault(), old_);
        if (auto readings = decode_chunk(stored.head, stored.body)) chunk.readings = std::move(*readings);
      }
      found.push_back(std::move(chunk));
    }
    old_.reset();
    for (auto& chunk : found) {
      if (chunk.readings && !archived(device_key, *chunk.readings)) {
        if (!disk_is_full) return;  // the rest is younger: asked for again next time
        ++result.unarchived;
      }
      delete_.bind(chunk.id).run();
      ++result.chunks;
      result.unsent += chunk.last_seq > settled_seq_;
      floor_us = std::max(floor_us, chunk.to_us + 1);
    }
    result.more = result.more || std::ssize(found) == kAtOnce;
  }

  Expired result;
  std::int64_t floor_us = 0;

 private:
  bool archived(std::uint32_t device_key, Block& readings) {
    readings.device_key = device_key;
    const auto kept = archive_->keep(device_key, readings);
    if (!kept) log::warning("old readings could not be archived and stay: " + kept.error().message);
    return kept.has_value();
  }

  Database& database_;
  Archive* archive_;
  std::uint64_t settled_seq_;
  Statement old_;
  Statement delete_;
};

/// The end of the oldest day of which there are chunks, the newest of each device aside.
std::optional<Timestamp> end_of_oldest_day(Database& database, const Calendar& calendar) {
  std::optional<Timestamp> oldest;
  Statement first(database,
                  "SELECT (SELECT min(chunk_id) FROM chunks WHERE chunk_id BETWEEN ?1 AND ?2), "
                  "(SELECT max(chunk_id) FROM chunks WHERE chunk_id BETWEEN ?1 AND ?2)");
  for (const auto key : numbers(database, "SELECT device_key FROM devices")) {
    const auto device = static_cast<std::uint32_t>(key);
    first.bind(chunk_id(device, 0)).bind(chunk_id(device, INT64_MAX));
    if (first.step() && !first.is_null(0) && first.integer(0) != first.integer(1)) {
      const auto at = from_unix_us((first.integer(0) - chunk_id(device, 0)) * 1000);
      if (!oldest || at < *oldest) oldest = at;
    }
    first.reset();
  }
  if (!oldest) return std::nullopt;
  return calendar.day_of(*oldest).to;
}

void expire_rollups(Database& database, const Calendar& calendar, const RetentionPolicy& policy, Timestamp now) {
  // Once a day: every series has its own place in the table.
  const auto today = std::chrono::floor<std::chrono::days>(now).time_since_epoch().count();
  if (load_number(database, "rollups_expired_on") == today) return;
  Statement hourly(database, "DELETE FROM rollups_hourly WHERE series_id=? AND start<?");
  Statement daily(database, "DELETE FROM rollups_daily WHERE series_id=? AND start<?");
  for (const auto id : numbers(database, "SELECT series_id FROM series")) {
    // Whole days of hours: what is left of a day must not stand for all of it.
    hourly.bind(id).bind(calendar.day_of(now - policy.hourly).from).run();
    daily.bind(id).bind(now - policy.daily).run();
  }
  save(database, "rollups_expired_on", today);
}

}  // namespace

std::int64_t used_bytes(Database& database) {
  return (database.pragma("page_count") - database.pragma("freelist_count")) * database.pragma("page_size");
}

Expired expire(Database& database, const Calendar& calendar, const RetentionPolicy& policy, Archive* archive,
               std::uint64_t settled_seq, Timestamp now) {
  Expiry expiry(database, archive, settled_seq);
  const auto devices = numbers(database, "SELECT device_key FROM devices");
  for (const auto key : devices) expiry.before(static_cast<std::uint32_t>(key), now - policy.raw, false);
  if (!expiry.result.more && used_bytes(database) > policy.bytes) {
    if (const auto cutoff = end_of_oldest_day(database, calendar)) {
      for (const auto key : devices) expiry.before(static_cast<std::uint32_t>(key), *cutoff, true);
      expiry.result.more = expiry.result.chunks > 0;
    }
  }
  if (expiry.result.chunks > 0)
    save(database, "raw_floor", std::max(load_number(database, "raw_floor"), expiry.floor_us));
  expire_rollups(database, calendar, policy, now);
  return expiry.result;
}

Timestamp raw_floor_of(Database& database, const Calendar& calendar, std::uint32_t device_key) {
  // What is deleted of a device is deleted from its beginning on: behind its first chunk all is there.
  const auto floor = from_unix_us(load_number(database, "raw_floor"));
  Statement oldest(database, "SELECT min(chunk_id) FROM chunks WHERE chunk_id BETWEEN ? AND ?");
  oldest.bind(chunk_id(device_key, 0)).bind(chunk_id(device_key, INT64_MAX));
  if (!oldest.step() || oldest.is_null(0)) return floor;
  const auto first = from_unix_us((oldest.integer(0) - chunk_id(device_key, 0)) * 1000);
  return std::min(floor, calendar.hour_of(first).to);
}

}  // namespace wattd::storage
