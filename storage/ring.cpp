#include "storage/ring.h"

#include <algorithm>

#include "storage/receipts.h"
#include "storage/segment.h"
#include "storage/state.h"

namespace wattd::storage {
namespace {

constexpr std::size_t kCellsPerSegment = 1'000'000;

}  // namespace

Ring::Ring(Database& database)
    : database_(database),
      insert_(database,
              "INSERT INTO ring (seq, from_at, span, bytes_before, readings, cells, receipts, body) "
              "VALUES (?,?,?,?,?,?,?,?)") {
  state_.last_seq = static_cast<std::uint64_t>(load_number(database, "last_seq"));
  state_.compacted_seq = static_cast<std::uint64_t>(load_number(database, "compacted_seq"));
  Statement last(database, "SELECT seq, bytes_before + length(body) FROM arrivals ORDER BY seq DESC LIMIT 1");
  if (last.step()) {
    state_.last_seq = std::max(state_.last_seq, static_cast<std::uint64_t>(last.integer(0)));
    state_.bytes_ever = last.integer(1);
  }
  Statement first(database, "SELECT seq, bytes_before FROM arrivals ORDER BY seq LIMIT 1");
  state_.first_seq = state_.last_seq + 1;
  state_.bytes_gone = state_.bytes_ever;
  if (first.step()) {
    state_.first_seq = static_cast<std::uint64_t>(first.integer(0));
    state_.bytes_gone = first.integer(1);
  }
  load_tail();
}

void Ring::load_tail() {
  state_.tail_cells = 0;
  state_.tail_from_us = INT64_MAX;
  state_.tail_to_us = INT64_MIN;
  if (!state_.has_tail()) return;
  Statement tail(database_, "SELECT sum(cells), min(from_at), max(to_at) FROM arrivals WHERE seq>? AND cells>0");
  tail.bind(static_cast<std::int64_t>(state_.compacted_seq));
  if (!tail.step() || tail.is_null(0)) return;
  state_.tail_cells = static_cast<std::size_t>(tail.integer(0));
  state_.tail_from_us = tail.integer(1);
  state_.tail_to_us = tail.integer(2);
}

void Ring::append(std::span<const Block> blocks, const std::vector<Receipt>& receipts, Timestamp now) {
  const auto remembered = encode_receipts(receipts);
  // A group of nothing but dead letters still has to remember what it took.
  for (bool first = true; !blocks.empty() || (first && !remembered.empty()); first = false) {
    std::size_t count = 0;
    std::size_t cells = 0;
    std::int64_t readings = 0;
    auto from_us = INT64_MAX;
    auto to_us = INT64_MIN;
    for (; count < blocks.size() && cells < kCellsPerSegment; ++count) {
      cells += blocks[count].cells();
      readings += static_cast<std::int64_t>(blocks[count].rows());
      const auto [least, most] = std::ranges::minmax(blocks[count].at_us);
      from_us = std::min(from_us, least), to_us = std::max(to_us, most);
    }
    const auto seq = static_cast<std::int64_t>(++state_.last_seq);
    const auto body = database_.vault().seal({Vault::Kind::segment, seq}, encode_segment(blocks.first(count)));
    blocks = blocks.subspan(count);
    insert_.bind(seq);
    insert_.bind(count == 0 ? to_unix_us(now) : from_us).bind(count == 0 ? std::int64_t{0} : to_us - from_us);
    insert_.bind(state_.bytes_ever).bind(readings).bind(static_cast<std::int64_t>(cells));
    first && !remembered.empty() ? insert_.bind(std::span(remembered)) : insert_.bind_null();
    insert_.bind(std::span(body)).run();
    state_.bytes_ever += std::ssize(body);
    state_.tail_cells += cells;
    state_.tail_from_us = std::min(state_.tail_from_us, from_us);
    state_.tail_to_us = std::max(state_.tail_to_us, to_us);
  }
}

void Ring::compacted(std::uint64_t seq) {
  state_.compacted_seq = seq;
  load_tail();
}

void Ring::drop(std::uint64_t seq) {
  if (seq < state_.first_seq) return;
  // The numbers go on where they were, even when no segment is left to tell.
  save(database_, "last_seq", static_cast<std::int64_t>(state_.last_seq));
  for (const auto* table : {"segments", "ring"})
    Statement(database_, std::string("DELETE FROM ") + table + " WHERE seq<=?")
        .bind(static_cast<std::int64_t>(seq))
        .run();
  Statement first(database_, "SELECT seq, bytes_before FROM arrivals ORDER BY seq LIMIT 1");
  const bool any = first.step();
  state_.first_seq = any ? static_cast<std::uint64_t>(first.integer(0)) : state_.last_seq + 1;
  state_.bytes_gone = any ? first.integer(1) : state_.bytes_ever;
}

std::uint64_t Ring::surplus(std::int64_t budget) {
  if (state_.bytes() <= budget) return 0;
  // A little more than needed goes at once, so that a full ring does not pay for this at every commit.
  Statement row(database_, "SELECT max(seq) FROM (SELECT seq FROM arrivals WHERE bytes_before < ? ORDER BY seq)");
  row.bind(state_.bytes_ever - budget + budget / 64);
  return row.step() ? static_cast<std::uint64_t>(row.integer(0)) : 0;
}

std::vector<Receipt> Ring::recent_receipts(std::size_t count) {
  std::vector<std::vector<Receipt>> newest_first;
  std::size_t found = 0;
  Statement row(database_, "SELECT receipts FROM arrivals ORDER BY seq DESC LIMIT 5000");
  while (found < count && row.step()) {
    if (row.is_null(0)) continue;
    newest_first.push_back(decode_receipts(row.blob(0)));
    found += newest_first.back().size();
  }
  std::vector<Receipt> receipts;
  for (auto group = newest_first.rbegin(); group != newest_first.rend(); ++group)
    receipts.insert(receipts.end(), group->begin(), group->end());
  return receipts;
}

}  // namespace wattd::storage
