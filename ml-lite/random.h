#pragma once
#include <cmath>
#include <cstdint>
#include <numbers>

namespace wattd::ml {

/// The same numbers for a seed on every machine, which the standard library's distributions do not promise.
/// Source: Steele, Lea, Flood 2014, SplitMix64; Lemire 2019 for `below`.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t bits() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  /// In [0, 1).
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  /// In [0, limit).
  std::uint32_t below(std::uint32_t limit) {
    return static_cast<std::uint32_t>(((bits() >> 32) * static_cast<std::uint64_t>(limit)) >> 32);
  }
  /// Of mean 0 and deviation 1. Source: Box and Muller 1958.
  double normal() {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  std::uint64_t state_;
};

}  // namespace wattd::ml
