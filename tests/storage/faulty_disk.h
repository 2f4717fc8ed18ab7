#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace wattd::storage {

/// A disk that keeps only what was synced, as a power cut leaves it, and that fails on demand: SQLite's default VFS
/// while it lives. Files pass through to the real file system; beside them it remembers what of each would survive.
/// Threads: one.
class FaultyDisk {
 public:
  FaultyDisk();
  ~FaultyDisk();
  FaultyDisk(const FaultyDisk&) = delete;
  FaultyDisk& operator=(const FaultyDisk&) = delete;

  /// The power goes at the `count`-th write, truncation or sync from now on: from then on nothing works any more.
  void cut_power_after(std::uint64_t count, std::uint64_t seed);
  bool is_dead() const { return dead_; }
  /// Puts into the files what survived: what was synced, and of the writes since then some wholly, some in pieces of
  /// 512 bytes, some not at all. Every connection has to be closed.
  void restore();

  /// Writes, truncations and syncs fail with `code` from the `from`-th until the `to`-th from now on.
  void fail_between(std::uint64_t from, std::uint64_t to, int code);
  std::uint64_t operations() const { return operations_; }

  // For the VFS.
  /// What an operation has to return instead of working; 0 when it works.
  int before_operation();
  void wrote(const std::string& path, std::int64_t offset, const void* bytes, std::size_t size);
  void truncated(const std::string& path, std::int64_t size);
  void synced(const std::string& path);
  void removed(const std::string& path) { files_.erase(path); }
  void opened(const std::string& path);

 private:
  struct Change {
    std::int64_t offset;  ///< Or, for a truncation,
    std::int64_t size;    ///< the new size; -1 for a write.
    std::vector<std::uint8_t> bytes;
  };
  struct File {
    std::vector<std::uint8_t> durable;
    std::vector<Change> unsynced;
  };
  static void apply(std::vector<std::uint8_t>& image, const Change& change);
  void apply_torn(std::vector<std::uint8_t>& image, const Change& change);

  std::map<std::string, File> files_;
  std::mt19937_64 random_;
  std::uint64_t operations_ = 0;
  std::uint64_t cut_at_ = UINT64_MAX;
  std::uint64_t fail_from_ = UINT64_MAX, fail_to_ = 0;
  int fail_code_ = 0;
  bool dead_ = false;
};

}  // namespace wattd::storage
