#include "storage/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "storage/segment.h"
#include "storage/state.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

constexpr std::size_t kBytesAtOnce = 256 << 10;
constexpr int kTimeBits = 43;
constexpr std::int64_t kLatestMs = (std::int64_t{1} << kTimeBits) - 1;

std::vector<std::uint8_t> copy(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

std::int64_t chunk_id(std::uint32_t device_key, std::int64_t from_us) {
  return std::int64_t{device_key} << kTimeBits | std::clamp<std::int64_t>(from_us / 1000, 0, kLatestMs);
}

StoredChunk chunk_from(const Vault& vault, const Statement& row) {
  const auto id = row.integer(0);
  const auto to_us = row.integer(1);
  const bool sealed = sealed_by(row.blob(4)).has_value();  // the body alone cannot tell
  return {id,
          to_us,
          static_cast<std::uint64_t>(row.integer(2)),
          static_cast<std::uint64_t>(row.integer(3)),
          vault.open({Vault::Kind::head, id, to_us}, row.blob(4)),
          sealed ? vault.open({Vault::Kind::body, id, to_us}, row.blob(5)) : copy(row.blob(5))};
}

Block clip(const Block& block, TimeRange range) {
  const auto first = std::ranges::lower_bound(block.at_us, to_unix_us(range.from)) - block.at_us.begin();
  const auto last = std::ranges::lower_bound(block.at_us, to_unix_us(range.to)) - block.at_us.begin();
  if (first == 0 && last == std::ssize(block.at_us)) return block;
  return block.slice(static_cast<std::size_t>(first), static_cast<std::size_t>(std::max(first, last)));
}

void History::visit_segments(std::uint64_t after_seq, TimeRange range, const VisitSegment& visit) {
  Statement row(database_, "SELECT seq, body FROM arrivals WHERE seq>? AND to_at>=? AND from_at<? ORDER BY seq");
  while (true) {
    std::vector<std::pair<std::uint64_t, std::vector<std::uint8_t>>> copied;
    std::size_t bytes = 0;
    row.bind(static_cast<std::int64_t>(after_seq)).bind(range.from).bind(range.to);
    while (bytes < kBytesAtOnce && row.step()) {
      copied.emplace_back(static_cast<std::uint64_t>(row.integer(0)),
                          database_.vault().open({Vault::Kind::segment, row.integer(0)}, row.blob(1)));
      bytes += copied.back().second.size();
    }
    row.reset();
    if (copied.empty()) return;
    for (const auto& [seq, body] : copied) {
      if (!visit(seq, body)) return;
    }
    after_seq = copied.back().first;
  }
}

std::vector<Block> History::tail(const WantsDevice& wants, TimeRange range) {
  const auto compacted = static_cast<std::uint64_t>(load_number(database_, "compacted_seq"));
  std::map<std::uint32_t, Block> devices;
  visit_segments(compacted, range, [&](std::uint64_t seq, std::span<const std::uint8_t> body) {
    const auto blocks = decode_segment(body, wants);
    if (!blocks) log::error(fmt::format("segment {} is damaged and left out: {}", seq, blocks.error().message));
    else
      for (const auto& block : *blocks) {
        auto& device = devices[block.device_key];
        device.device_key = block.device_key;
        device.append(block);
      }
    return true;
  });
  std::vector<Block> found;
  for (auto& [key, block] : devices) {
    sort_by_time(block);
    if (auto clipped = clip(block, range); clipped.rows() > 0) found.push_back(std::move(clipped));
  }
  return found;
}

std::vector<StoredChunk> History::chunks(std::uint32_t device_key, TimeRange range, std::size_t most_bytes) {
  if (!chunks_) {
    chunks_.emplace(database_,
                    "SELECT chunk_id, to_at, first_seq, last_seq, head, body FROM chunks WHERE chunk_id BETWEEN "
                    "(SELECT ifnull(max(chunk_id), ?1) FROM chunks WHERE chunk_id BETWEEN ?1 AND ?2) AND ?3 "
                    "AND to_at>=?4 ORDER BY chunk_id");
  }
  auto& row = *chunks_;
  row.bind(chunk_id(device_key, 0)).bind(chunk_id(device_key, to_unix_us(range.from)));
  row.bind(chunk_id(device_key, to_unix_us(range.to) - 1)).bind(range.from);
  std::vector<StoredChunk> found;
  std::size_t bytes = 0;
  while (bytes < most_bytes && row.step()) {
    found.push_back(chunk_from(database_.vault(), row));
    bytes += found.back().head.size() + found.back().body.size();
  }
  row.reset();
  return found;
}

std::optional<Block> History::tail_of(std::uint32_t device_key, TimeRange range, const WantsSeries& wants) {
  auto tails = tail([&](std::uint32_t key) { return key == device_key; }, range);
  if (tails.empty()) return std::nullopt;
  auto own = std::move(tails.front());
  if (wants) std::erase_if(own.columns, [&](const Column& column) { return !wants(column.series_id); });
  return own;
}

void History::visit(std::uint32_t device_key, TimeRange range, const WantsSeries& wants, const Visit& visit) {
  // The tail first: what is compacted meanwhile is met again in a chunk, and counts once there.
  const auto tail = tail_of(device_key, range, wants);
  merge(device_key, range, wants, tail, visit);
}

void History::visit_chunks(std::uint32_t device_key, TimeRange range, const WantsSeries& wants, const Visit& visit) {
  merge(device_key, range, wants, std::nullopt, visit);
}

void History::merge(std::uint32_t device_key, TimeRange range, const WantsSeries& wants,
                    const std::optional<Block>& tail, const Visit& visit) {
  auto rest = range;
  const auto give = [&](const Block& block) {
    if (block.rows() == 0) return true;
    if (from_unix_us(block.at_us.front()) >= rest.from && from_unix_us(block.at_us.back()) < rest.to)
      return visit(block);
    const auto clipped = clip(block, rest);
    return clipped.rows() == 0 || visit(clipped);
  };
  while (rest.from < rest.to) {
    const auto found = chunks(device_key, rest, kBytesAtOnce);
    if (found.empty()) break;
    for (const auto& stored : found) {
      const auto until = from_unix_us(stored.to_us + 1);
      auto block = decode_chunk(stored.head, stored.body, wants);
      if (!block) {
        log::error(fmt::format("chunk {} of device {} is damaged and left out: {}", stored.id, device_key,
                               block.error().message));
        // It may span what was stored beside it since: that is given before its time is passed over.
        if (&stored != &found.back()) continue;
        if (tail && !give(clip(*tail, {rest.from, until}))) return;
        rest.from = std::max(rest.from, until);
        continue;
      }
      block->device_key = device_key;
      if (tail) {
        if (const auto late = clip(*tail, {rest.from, until}); late.rows() > 0) {
          block->append(late);
          sort_by_time(*block);
        }
      }
      if (!give(*block)) return;
      rest.from = std::max(rest.from, until);
    }
  }
  if (tail && rest.from < rest.to) give(*tail);
}

}  // namespace wattd::storage
