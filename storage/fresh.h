#pragma once
#include <cstdint>
#include <map>
#include <span>

#include "storage/block.h"

namespace wattd::storage {

/// The readings of the newest segments, as they were before they were encoded: compaction soon wants them again, and
/// reading them back would be a third of its work. Lost with the process; the segments on the disk say the same.
/// Threads: the writer's.
class Fresh {
 public:
  using Devices = std::map<std::uint32_t, Block>;

  /// Takes the blocks of a group that is on the disk as segments `first` to `last`.
  /// Shape: at most `most_cells` values are kept; beyond that all of them are forgotten.
  void add(std::uint64_t first, std::uint64_t last, std::span<const Block> blocks, std::size_t most_cells);
  /// Gives away everything of the segments `first` to `last`; nothing when these are not exactly what is here.
  Devices take(std::uint64_t first, std::uint64_t last);

 private:
  void forget();

  std::uint64_t first_ = 0;  ///< What is here: segments from this one
  std::uint64_t next_ = 0;   ///< to the one before this.
  std::size_t cells_ = 0;
  Devices devices_;
};

}  // namespace wattd::storage
