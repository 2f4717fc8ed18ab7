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
constexpr std::size_t kWhole = SIZE_MAX;

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
        before_(database,
                "SELECT chunk_id, to_at, first_seq, last_seq, head, body FROM chunks WHERE chunk_id BETWEEN ? AND ? "
                "ORDER BY chunk_id DESC LIMIT 1"),
        wait_(database, "INSERT OR IGNORE INTO rollup_pending VALUES (?,?,?)"),
        history_(database),
        delete_chunk_(database, "DELETE FROM chunks WHERE chunk_id=?"),
        correct_(database, "INSERT INTO corrections (series_id, at, was, became, recorded_at) VALUES (?,?,?,?,?)") {}

  Compacted run(Fresh& fresh);

 private:
  void gather(Fresh& fresh);
  void decode_segments(std::uint64_t compacted);
  void store(Block& block);
  void store_day(Block piece, TimeRange day);
  std::vector<StoredChunk> to_be_merged(const Block& piece, TimeRange day);
  void put(const Block& block, std::uint64_t first_seq, std::uint64_t last_seq);
  void correct(const Correction& correction);
  void roll_up_touched(std::uint32_t device_key);

  Database& database_;
  const Calendar& calendar_;
  const CompactionPolicy& policy_;
  Timestamp now_;
  Timestamp floor_{};  ///< Of the device at hand.
  Statement put_chunk_, is_taken_, before_, wait_;
  History history_;
  Statement delete_chunk_, correct_;
  std::uint64_t first_seq_ = 0;
  std::map<std::uint32_t, Block> devices_;
  std::set<std::pair<Timestamp, Timestamp>> touched_;  ///< Hours of the device at hand.
  Compacted done_;
};

void Round::gather(Fresh& fresh) {
  const auto compacted = static_cast<std::uint64_t>(load_number(database_, "compacted_seq"));
  Statement tail(database_, "SELECT min(seq), max(seq), count(*), ifnull(sum(readings), 0) FROM arrivals WHERE seq>?");
  if (!tail.bind(static_cast<std::int64_t>(compacted)).step() || tail.integer(2) == 0) return;
  const auto first = static_cast<std::uint64_t>(tail.integer(0));
  const auto last = static_cast<std::uint64_t>(tail.integer(1));
  devices_ = fresh.take(first, last);
  if (devices_.empty()) return decode_segments(compacted);
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

Compacted Round::run(Fresh& fresh) {
  gather(fresh);
  if (done_.segments == 0) return done_;
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

/// The chunks whose time the piece shares, and a small one before it on the same day.
std::vector<StoredChunk> Round::to_be_merged(const Block& piece, TimeRange day) {
  const auto first = from_unix_us(piece.at_us.front());
  const auto last = from_unix_us(piece.at_us.back());
  auto found = history_.chunks(piece.device_key, {first, last + 1us}, kWhole);
  const auto apart = [&](const StoredChunk& chunk) {
    const auto head = decode_chunk_head(chunk.head);
    return head && head->from_us > piece.at_us.back();
  };
  std::erase_if(found, apart);
  if (!found.empty()) return found;
  before_.bind(chunk_id(piece.device_key, to_unix_us(day.from))).bind(chunk_id(piece.device_key, piece.at_us.front()));
  StoredChunk chunk;
  if (before_.step()) chunk = chunk_from(database_.vault(), before_);
  before_.reset();
  const auto head = decode_chunk_head(chunk.head);
  if (head && head->from_us >= to_unix_us(day.from) && head->rows < policy_.small_rows)
    found.push_back(std::move(chunk));
  return found;
}

void Round::store_day(Block piece, TimeRange day) {
  if (from_unix_us(piece.at_us.front()) < floor_) add_to_kept(database_, calendar_, clip(piece, {{}, floor_}));
  auto first_seq = first_seq_;
  auto last_seq = done_.last_seq;
  Block merged{.device_key = piece.device_key};
  for (const auto& chunk : to_be_merged(piece, day)) {
    const auto block = decode_chunk(chunk.head, chunk.body);
    if (!block) {
      // It stays where it is, so that a person may still look at it.
      log::error(fmt::format("chunk {} is damaged and is not merged: {}", chunk.id, block.error().message));
      continue;
    }
    merged.append(*block);
    first_seq = std::min(first_seq, chunk.first_seq);
    last_seq = std::max(last_seq, chunk.last_seq);
    delete_chunk_.bind(chunk.id).run();
  }
  if (merged.rows() > 0) {
    merged.append(piece);
    sort_by_time(merged, [&](const Correction& correction) { correct(correction); });
    piece = std::move(merged);
  }
  const auto parts = (piece.rows() + policy_.rows - 1) / policy_.rows;
  for (std::size_t part = 0; part < parts; ++part) {
    const auto from = piece.rows() * part / parts;
    const auto to = piece.rows() * (part + 1) / parts;
    put(parts == 1 ? piece : piece.slice(from, to), first_seq, last_seq);
  }
}

void Round::put(const Block& block, std::uint64_t first_seq, std::uint64_t last_seq) {
  auto id = chunk_id(block.device_key, block.at_us.front());
  for (; is_taken_.bind(id).step(); ++id) is_taken_.reset();
  is_taken_.reset();
  const auto encoded = encode_chunk(block);
  put_chunk_.bind(id).bind(block.at_us.back()).bind(static_cast<std::int64_t>(first_seq));
  const auto& vault = database_.vault();
  const auto head = vault.seal({Vault::Kind::head, id, block.at_us.back()}, encoded.head);
  const auto body = vault.seal({Vault::Kind::body, id, block.at_us.back()}, encoded.body);
  put_chunk_.bind(static_cast<std::int64_t>(last_seq)).bind(std::span(head)).bind(std::span(body)).run();
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

Compacted compact(Database& database, const Calendar& calendar, const CompactionPolicy& policy, Fresh& fresh,
                  Timestamp now) {
  return Round(database, calendar, policy, now).run(fresh);
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
