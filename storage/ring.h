#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "storage/block.h"
#include "storage/database.h"
#include "telemetry/message.h"

namespace wattd::storage {

/// The log of readings as they arrived: one row a group commit, in order of `seq`, which never comes twice.
/// Threads: the writer's; every change happens in the caller's transaction.
class Ring {
 public:
  /// What of the ring is kept in memory; a copy from before a transaction undoes it.
  struct State {
    std::uint64_t first_seq = 1;  ///< The oldest segment, or the next one when there is none.
    std::uint64_t last_seq = 0;
    std::uint64_t compacted_seq = 0;
    std::int64_t bytes_ever = 0;  ///< Bytes of bodies that were ever written,
    std::int64_t bytes_gone = 0;  ///< and of those that are gone.
    std::size_t tail_cells = 0;   ///< Values in segments that are in no chunk yet.
    std::int64_t tail_from_us = INT64_MAX;
    std::int64_t tail_to_us = INT64_MIN;

    std::int64_t bytes() const { return bytes_ever - bytes_gone; }
    bool has_tail() const { return last_seq > compacted_seq; }
  };

  explicit Ring(Database& database);

  void append(std::span<const Block> blocks, const std::vector<Receipt>& receipts, Timestamp now);
  /// Everything up to `seq` is in chunks now.
  void compacted(std::uint64_t seq);
  /// Deletes the segments up to `seq`.
  void drop(std::uint64_t seq);
  /// The newest segment that has to go for the ring to fit, with some to spare; 0 when it fits.
  std::uint64_t surplus(std::int64_t budget);

  /// The receipts of the newest groups, oldest first: at least `count`, if the newest 5,000 segments hold as many.
  std::vector<Receipt> recent_receipts(std::size_t count);

  const State& state() const { return state_; }
  void restore(const State& state) { state_ = state; }

 private:
  void load_tail();

  Database& database_;
  Statement insert_;
  State state_;
};

}  // namespace wattd::storage
