#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "storage/block.h"
#include "storage/database.h"
#include "telemetry/clock.h"

namespace wattd::storage {

/// Readings whose stamps nothing vouches for: they wait, by what had passed since the machine began to run, until it is
/// known when that was. Chunks, rollups and sinks do not see them before.
/// Threads: the writer's; every change happens in the caller's transaction. Format: docs/formats/schema.md.
class Held {
 public:
  /// What is kept in memory; a copy from before a transaction undoes it.
  struct State {
    std::int64_t readings = 0;
    std::int64_t bytes = 0;
    std::uint64_t lost = 0;      ///< Readings overwritten by newer ones because there were too many, since start.
    bool is_releasable = false;  ///< Some of them can be put right.
  };

  explicit Held(Database& database);

  /// Writes down what is known of a boot.
  struct Noted {
    std::int64_t key = 0;
    Timestamp assumed{};  ///< As the boot's first mention had it.
  };
  Noted note(const Boot& boot);
  /// Keeps the readings of one group; the oldest ones go where all would take more than `budget` bytes.
  void put(std::vector<Block> blocks, const Boot& boot, std::int64_t budget);
  /// Takes note of when the machine began to run. A boot for which that was never known ended before the next one
  /// began.
  void know(const Boot& boot);
  /// Takes out the oldest readings that can be put right, about 256 kB of them, and puts them right.
  /// Shape: one block a device, in order of their keys; empty when there are none.
  std::vector<Block> release();

  /// Counts anew what there is.
  void count();
  const State& state() const { return state_; }
  void restore(const State& state) { state_ = state; }

 private:
  void place_earlier_boots(std::int64_t key, Timestamp began);
  void forget_boots();
  void refresh_releasable();

  Database& database_;
  Statement insert_;
  State state_;
};

/// What is held of one device, newest rows first, as the clock that nobody vouched for stamped it.
std::vector<Block> held_of(Database& database, std::uint32_t device_key);

}  // namespace wattd::storage
