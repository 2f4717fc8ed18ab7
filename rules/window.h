#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "telemetry/time.h"

namespace wattd::rules {

/// What the samples of a stretch of time have in common.
struct Aggregate {
  std::uint64_t count = 0;
  double sum = 0;
  double min = 0;
  double max = 0;
  Timestamp first_at{}, last_at{};
  double first = 0, last = 0;
};

/// The samples of one series over the last while, for every rule that looks at it. They lie in blocks that know their
/// own sum and extremes, so that an aggregate costs two cut blocks and a look at each block between, nothing drifts,
/// and a sample that comes late is put where it belongs.
/// Memory: 11 bytes a sample that comes regularly, to a quarter of a second; else 15. Stamps are kept to 8 us.
/// Threads: one.
class Window {
 public:
  Window() = default;
  Window(Window&&) noexcept = default;
  Window& operator=(Window&&) noexcept = default;

  /// How far back samples are kept; never made shorter.
  void keep(std::chrono::microseconds length) { length_ = std::max(length_, length); }
  std::chrono::microseconds length() const { return length_; }

  /// Takes a sample; one of the same instant is replaced. What is older than the newest by more than the length is
  /// forgotten. Returns false for a duplicate and for one too old to count.
  bool add(Timestamp at, double value);
  /// Forgets what is stamped later than that: the clock was put back.
  void forget_after(Timestamp at);
  /// Over the samples in (until - length, until].
  Aggregate over(std::chrono::microseconds length, Timestamp until) const;
  /// Whether it has been watched for that long.
  bool covers(std::chrono::microseconds length) const;
  std::optional<Timestamp> newest() const;

 private:
  static constexpr std::size_t kBlock = 64;
  using Ticks = std::chrono::duration<std::int64_t, std::ratio<1, 125'000>>;  ///< What stamps are rounded down to.
  struct Block {
    Timestamp base;
    std::uint32_t step = 0;  ///< Ticks from one sample to the next, about:
    std::uint16_t count = 0;
    std::array<std::int16_t, kBlock> deviations;             ///< from that, in ticks; or where they do not hold it
    std::unique_ptr<std::array<std::uint32_t, kBlock>> far;  ///< ticks after base, rising.
    std::array<double, kBlock> values;
    double sum = 0, min = 0, max = 0;

    std::int64_t offset(std::size_t i) const {
      return far ? std::int64_t{(*far)[i]} : static_cast<std::int64_t>(i) * step + deviations[i];
    }
    Timestamp at(std::size_t i) const { return base + std::chrono::microseconds{Ticks{offset(i)}}; }
    bool has_room_for(Timestamp at) const;
    void summarise();
    void widen();
    void append(Timestamp at, double value);
    void insert(std::size_t place, Timestamp at, double value);
  };

  void insert_late(Timestamp at, double value);
  void forget();

  std::chrono::microseconds length_{0};
  std::optional<Timestamp> began_;              ///< The oldest ever taken.
  std::vector<std::unique_ptr<Block>> blocks_;  ///< A handful.
};

}  // namespace wattd::rules
