#pragma once
#include <span>
#include <vector>

#include "storage/block.h"
#include "storage/catalogue.h"
#include "telemetry/reading.h"

namespace wattd::storage {

/// Sorts readings into one block a device. It keeps the memory of the blocks it made before: a group has the devices
/// and fields of the one before it, more or less, and most of the work would be asking for the same memory again.
/// Threads: the writer's.
class BlockMaker {
 public:
  explicit BlockMaker(Catalogue& catalogue) : catalogue_(catalogue) {}

  /// One block a device, in the order of their keys. Series that are new get their numbers from the catalogue.
  /// Owns: the blocks, until the next call. Errors: throws SqlError when a reading's device has no record.
  std::span<const Block> make(std::span<const Reading> readings);
  /// Forgets the numbers of devices: after a transaction that was undone, they may stand for others.
  void forget_devices() { slots_.clear(); }

 private:
  Block& block_of(const std::string& device_id);
  void take_back();

  /// Where a device's block is, if it has one in this group.
  struct Slot {
    std::uint64_t group = 0;
    std::size_t index = 0;
    std::uint32_t device_key = 0;
  };
  Catalogue& catalogue_;
  TextMap<Slot> slots_;
  std::uint64_t group_ = 0;
  std::vector<Block> blocks_;
  std::unordered_map<std::uint32_t, Block> kept_;  ///< By device; with columns that have no values.
};

}  // namespace wattd::storage
