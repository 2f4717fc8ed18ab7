#include "storage/packing.h"

#include <fmt/format.h>

#include <algorithm>

#include "storage/retention.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kWhole = SIZE_MAX;

std::vector<TimeRange> hours_of(const Block& block, const Calendar& calendar) {
  std::vector<TimeRange> hours;
  for (const auto at : block.at_us) {
    if (hours.empty() || !hours.back().contains(from_unix_us(at))) hours.push_back(calendar.hour_of(from_unix_us(at)));
  }
  return hours;
}

}  // namespace

Packed pack(Packing packing, std::size_t most_rows) {
  Packed packed;
  auto& block = packing.block;
  Block merged{.device_key = block.device_key};
  for (const auto& chunk : packing.chunks) {
    const auto held = decode_chunk(chunk.head, chunk.body);
    if (!held) {
      // It stays where it is, so that a person may still look at it.
      log::error(fmt::format("chunk {} is damaged and is not merged: {}", chunk.id, held.error().message));
      continue;
    }
    merged.append(*held);
    packed.first_seq = std::min(packed.first_seq, chunk.first_seq);
    packed.last_seq = std::max(packed.last_seq, chunk.last_seq);
    packed.replaced.push_back(chunk.id);
  }
  if (merged.rows() > 0) {
    merged.append(block);
    sort_by_time(merged, [&](Correction correction) { packed.corrections.push_back(std::move(correction)); });
    block = std::move(merged);
  }
  const auto parts = (block.rows() + most_rows - 1) / most_rows;
  for (std::size_t part = 0; part < parts; ++part) {
    const auto from = block.rows() * part / parts;
    const auto to = block.rows() * (part + 1) / parts;
    packed.chunks.push_back(
        {block.at_us[from], block.at_us[to - 1], encode_chunk(parts == 1 ? block : block.slice(from, to))});
  }
  return packed;
}

Neighbours::Neighbours(Database& database, std::size_t small_rows)
    : database_(database),
      small_rows_(small_rows),
      before_(database,
              fmt::format("SELECT {} FROM chunks WHERE chunk_id BETWEEN ? AND ? ORDER BY chunk_id DESC LIMIT 1",
                          kChunkColumns)),
      history_(database) {}

std::vector<StoredChunk> Neighbours::of(const Block& piece, TimeRange day) {
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
  if (head && head->from_us >= to_unix_us(day.from) && head->rows < small_rows_) found.push_back(std::move(chunk));
  return found;
}

bool Ahead::begin(Database& database, const Calendar& calendar, const CompactionPolicy& policy, Fresh& fresh,
                  std::uint64_t first, std::uint64_t last) {
  Round round{.first_seq = first, .last_seq = last, .devices = {}, .others = fresh.take(first, last)};
  if (round.others.empty()) return false;
  Neighbours neighbours(database, policy.small_rows);
  std::map<std::uint32_t, Packing> packings;
  std::map<std::uint32_t, std::vector<Correction>> corrections;
  for (auto& [key, block] : round.others) {
    const auto [least, most] = std::ranges::minmax(block.at_us);
    const auto day = calendar.day_of(from_unix_us(least));
    if (!day.contains(from_unix_us(most)) || from_unix_us(least) < raw_floor_of(database, calendar, key)) continue;
    sort_by_time(block, [&](Correction correction) { corrections[key].push_back(std::move(correction)); });
    packings.emplace(key, Packing{{}, neighbours.of(block, day)}).first->second.block = std::move(block);
  }
  for (const auto& [key, packing] : packings) round.others.erase(key);
  round_ =
      std::async(std::launch::async, [=, rows = policy.rows, round = std::move(round), packings = std::move(packings),
                                      corrections = std::move(corrections)]() mutable {
        for (auto& [key, packing] : packings) {
          auto& device = round.devices[key];
          device.hours = hours_of(packing.block, calendar);
          device.packed = pack(std::move(packing), rows);
          auto& all = device.packed.corrections;
          all.insert(all.begin(), corrections[key].begin(), corrections[key].end());
        }
        return std::move(round);
      });
  return true;
}

bool Ahead::is_done() const { return is_under_way() && round_.wait_for(0s) == std::future_status::ready; }

std::optional<Ahead::Round> Ahead::take() {
  if (!is_under_way()) return std::nullopt;
  try {
    return round_.get();
  } catch (const std::exception& problem) {
    // The segments on the disk say the same.
    log::error(fmt::format("a round of compaction begins anew: {}", problem.what()));
    return std::nullopt;
  }
}

}  // namespace wattd::storage
