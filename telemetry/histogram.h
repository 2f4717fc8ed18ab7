#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>

namespace wattd {

/// Counts durations in buckets that grow by half an octave from 1 us to about 70 s, so that a quantile is
/// right to within a fifth. Threads: one adds, any reads; a reader may miss the newest.
class Histogram {
 public:
  static constexpr int kBuckets = 53;

  void add(double seconds) {
    buckets_[index_of(seconds)].fetch_add(1, std::memory_order_relaxed);
    count_.fetch_add(1, std::memory_order_relaxed);
    sum_us_.fetch_add(static_cast<std::uint64_t>(seconds > 0 ? seconds * 1e6 : 0), std::memory_order_relaxed);
  }
  template <class Rep, class Period>
  void add(std::chrono::duration<Rep, Period> duration) {
    add(std::chrono::duration<double>(duration).count());
  }
  std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  double sum_seconds() const { return static_cast<double>(sum_us_.load(std::memory_order_relaxed)) / 1e6; }
  std::uint64_t in_bucket(int i) const { return buckets_[i].load(std::memory_order_relaxed); }
  /// The upper bound of bucket `i`, in seconds.
  static double bound(int i) { return 1e-6 * std::exp2(i / 2.0); }

  /// The duration that a share `q` (0 to 1) of those counted does not exceed, in seconds; 0 when empty.
  double quantile(double q) const {
    const auto wanted = q * static_cast<double>(count());
    double seen = 0;
    for (int i = 0; i < kBuckets; ++i) {
      seen += static_cast<double>(in_bucket(i));
      if (seen >= wanted && seen > 0) return bound(i);
    }
    return 0;
  }

 private:
  static int index_of(double seconds) {
    if (!(seconds > 1e-6)) return 0;
    const int i = static_cast<int>(std::ceil(std::log2(seconds * 1e6) * 2));
    return i < kBuckets ? i : kBuckets - 1;
  }

  std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
  std::atomic<std::uint64_t> count_{0};
  std::atomic<std::uint64_t> sum_us_{0};
};

}  // namespace wattd
