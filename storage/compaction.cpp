#include "storage/compaction.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "storage/chunk.h"
#include "storage/retention.h"
#include "storage/rollup.h"
#include "storage/segment.h"
#include "storage/state.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;

constexpr auto kGrace = 1min;  // after the end of an hour, for what is on its way

/// One round: the blocks of all devices, and where they go.
class Round {
 public:
  Round(Database& database, const Calendar& calendar, const CompactionPolicy& policy, Timestamp now)
      : database_(database),
        calendar_(calendar),
        policy_(policy),
        now_(now),
        put_chunk_(database,
                   "INSERT INTO chunks (chunk_id, to_at, first_seq, last_seq, head, body) VALUES (?,?,?,?,?,?)"),
        is_taken_(database, "SELECT 1 FROM chunks WHERE chunk_id=?"),
        wait_(database, "INSERT OR IGNORE INTO rollup_pending VALUES (?,?,?)"),
        neighbours_(database, policy.small_rows),
        delete_chunk_(database, "DELETE FROM chunks WHERE chunk_id=?"),
        correct_(database, "INSERT INTO corrections (series_id, at, was, became, recorded_at) VALUES (?,?,?,?,?)") {}

  Compacted run(Ahead& ahead, Fresh& fresh);

 private:
  void gather(Ahead& ahead, Fresh& fresh);
  void decode_segments(std::uint64_t compacted);
  void store(Block& block);
  void store_day(Block piece, TimeRange day);
  void put(std::uint32_t device_key, const Packed& packed);
  void correct(const Correction& correction);
  void roll_up_touched(std::uint32_t device_key);

  Database& database_;
  const Calendar& calendar_;
  const CompactionPolicy& policy_;
  Timestamp now_;
  Timestamp floor_{};  ///< Of the device at hand.
  Statement put_chunk_, is_taken_, wait_;
  Neighbours neighbours_;
  Statement delete_chunk_, correct_;
  std::uint64_t first_seq_ = 0;
  Fresh::Devices devices_;
  std::map<std::uint32_t, Ahead::Device> packed_;
  std::set<std::pair<Timestamp, Timestamp>> touched_;  ///< Hours of the device at hand.
  Compacted done_;
};

void Round::gather(Ahead& ahead, Fresh& fresh) {
  const auto compacted = load_number(database_, "compacted_seq");
  auto packed = ahead.take();
  Statement tail(database_,
                 "SELECT min(seq), max(seq), count(*), ifnull(sum(readings), 0) FROM arrivals WHERE seq>? AND seq<=?");
  const auto most = packed ? static_cast<std::int64_t>(packed->last_seq) : INT64_MAX;
  if (!tail.bind(compacted).bind(most).step() || tail.integer(2) == 0) return;
  const auto first = static_cast<std::uint64_t>(tail.integer(0));
  const auto last = static_cast<std::uint64_t>(tail.integer(1));
  if (packed && packed->first_seq == first) {
    packed_ = std::move(packed->devices);
    devices_ = std::move(packed->others);
  } else {
    devices_ = fresh.take(first, last);
  }
  if (devices_.empty() && packed_.empty()) return decode_segments(static_cast<std::uint64_t>(compacted));
  first_seq_ = first;
  done_.last_seq = last;
  done_.segments = static_cast<std::size_t>(tail.integer(2));
  done_.readings = static_cast<std::size_t>(tail.integer(3));
}

void Round::decode_segments(std::uint64_t compacted) {
  std::size_t cells = 0;
  History(database_).visit_segments(compacted, kAlways, [&](std::uint64_t seq, std::span<const std::uint8_t> body) {
    if (done_.segments++ == 0) first_seq_ = seq;
    done_.last_seq = seq;
    const auto blocks = decode_segment(body);
    if (!blocks) {
      log::error(fmt::format("segment {} is damaged and its readings are lost: {}", seq, blocks.error().message));
      return true;
    }
    for (const auto& block : *blocks) {
      auto& device = devices_[block.device_key];
      device.device_key = block.device_key;
      device.append(block);
      cells += block.cells();
      done_.readings += block.rows();
    }
    return cells < policy_.cells;
  });
}

Compacted Round::run(Ahead& ahead, Fresh& fresh) {
  gather(ahead, fresh);
  if (done_.segments == 0) return done_;
  for (const auto& [key, device] : packed_) {
    floor_ = raw_floor_of(database_, calendar_, key);
    put(key, device.packed);
    for (const auto& hour : device.hours) touched_.emplace(hour.from, hour.to);
    roll_up_touched(key);
  }
  packed_.clear();
  for (auto& [key, block] : devices_) {
    store(block);
    block = {};
    roll_up_touched(key);
  }
  if (done_.corrections > 0) {
    Statement(database_, "DELETE FROM corrections WHERE id <= (SELECT max(id) FROM corrections) - ?")
        .bind(static_cast<std::int64_t>(policy_.corrections))
        .run();
  }
  save(database_, "compacted_seq", static_cast<std::int64_t>(done_.last_seq));
  return done_;
}

void Round::store(Block& block) {
  floor_ = raw_floor_of(database_, calendar_, block.device_key);
  sort_by_time(block, [&](const Correction& correction) { correct(correction); });
  for (std::size_t from = 0; from < block.rows();) {
    const auto day = calendar_.day_of(from_unix_us(block.at_us[from]));
    auto to = from;
    for (TimeRange hour{}; to < block.rows() && day.contains(from_unix_us(block.at_us[to])); ++to) {
      const auto at = from_unix_us(block.at_us[to]);
      if (!hour.contains(at)) hour = calendar_.hour_of(at), touched_.emplace(hour.from, hour.to);
    }
    store_day(from == 0 && to == block.rows() ? std::move(block) : block.slice(from, to), day);
    if (block.rows() == 0) return;
    from = to;
  }
}

void Round::store_day(Block piece, TimeRange day) {
  if (from_unix_us(piece.at_us.front()) < floor_) add_to_kept(database_, calendar_, clip(piece, {{}, floor_}));
  const auto device_key = piece.device_key;
  auto chunks = neighbours_.of(piece, day);
  put(device_key, pack({std::move(piece), std::move(chunks)}, policy_.rows));
}

void Round::put(std::uint32_t device_key, const Packed& packed) {
  for (const auto id : packed.replaced) delete_chunk_.bind(id).run();
  for (const auto& correction : packed.corrections) correct(correction);
  const auto first_seq = static_cast<std::int64_t>(std::min(first_seq_, packed.first_seq));
  const auto last_seq = static_cast<std::int64_t>(std::max(done_.last_seq, packed.last_seq));
  for (const auto& chunk : packed.chunks) {
    auto id = chunk_id(device_key, chunk.from_us);
    for (; is_taken_.bind(id).step(); ++id) is_taken_.reset();
    is_taken_.reset();
    put_chunk_.bind(id).bind(chunk.to_us).bind(first_seq).bind(last_seq);
    const auto& vault = database_.vault();
    const auto head = vault.seal({Vault::Kind::head, id, chunk.to_us}, chunk.bytes.head);
    const auto body = vault.seal({Vault::Kind::body, id, chunk.to_us}, chunk.bytes.body);
    put_chunk_.bind(std::span(head)).bind(std::span(body)).run();
  }
}

void Round::correct(const Correction& correction) {
  const auto was = to_text(correction.was);
  const auto became = to_text(correction.became);
  correct_.bind(std::int64_t{correction.series_id}).bind(correction.at_us);
  if (const auto& vault = database_.vault(); vault.seals()) {
    const auto both = was + '\n' + became;
    const std::span plain(reinterpret_cast<const std::uint8_t*>(both.data()), both.size());
    const Vault::Place place{Vault::Kind::correction, correction.series_id, correction.at_us};
    correct_.bind(std::span<const std::uint8_t>(vault.seal(place, plain))).bind("");
  } else {
    correct_.bind(was).bind(became);
  }
  correct_.bind(now_).run();
  ++done_.corrections;
}

void Round::roll_up_touched(std::uint32_t device_key) {
  std::vector<TimeRange> ended;
  for (const auto& [from, to] : touched_) {
    if (from < floor_) continue;
    if (to + kGrace <= now_) ended.push_back({from, to});
    else wait_.bind(std::int64_t{device_key}).bind(from).bind(to).run();
  }
  touched_.clear();
  roll_up(database_, calendar_, device_key, ended, now_);
}

}  // namespace

Compacted compact(Database& database, const Calendar& calendar, const CompactionPolicy& policy, Ahead& ahead,
                  Fresh& fresh, Timestamp now) {
  return Round(database, calendar, policy, now).run(ahead, fresh);
}

void roll_up_pending(Database& database, const Calendar& calendar, Timestamp now, std::size_t most) {
  std::map<std::uint32_t, std::vector<TimeRange>> devices;
  Statement row(database, "SELECT device_key, start, until FROM rollup_pending WHERE until<=? LIMIT ?");
  row.bind(now - kGrace).bind(static_cast<std::int64_t>(most));
  while (row.step()) devices[static_cast<std::uint32_t>(row.integer(0))].push_back({row.time(1), row.time(2)});
  row.reset();
  Statement done(database, "DELETE FROM rollup_pending WHERE device_key=? AND start=? AND until=?");
  for (const auto& [key, ranges] : devices) {
    std::vector<TimeRange> hours;
    std::vector<TimeRange> days;
    for (const auto& range : ranges) (range.to - range.from > 1h ? days : hours).push_back(range);
    roll_up(database, calendar, key, hours, now);
    for (const auto& day : days) roll_up_day(database, key, day);
    for (const auto& range : ranges) done.bind(std::int64_t{key}).bind(range.from).bind(range.to).run();
  }
}

}  // namespace wattd::storage
