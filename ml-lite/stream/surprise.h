#pragma once
#include <array>
#include <cstdint>

#include "telemetry/bytes.h"

namespace wattd::ml {

/// How rare a quantity's value is among those that came before: its own distribution, learnt on the way in a histogram
/// of 48 bins that forgets slowly. Within what was seen it counts; beyond, it takes the tail for a power law, whose
/// exponent it learns too: so a series with heavy tails does not storm. Source: Pickands 1975 (tails); Hill 1975
/// (exponent, here with a prior).
class Surprise {
 public:
  /// Takes a value of at least 0; -log10 of how often one as large is to be expected, or 0 where that is one in ten.
  /// The first twenty are only learnt.
  float operator()(double value);

  void write(ByteWriter& out) const;
  /// Errors: throws BadBytes.
  static Surprise read(ByteReader& in);

 private:
  static constexpr int kBins = 48;  ///< Three an octave, of the value over its mean: 2^-6 to 2^10.

  float rarity(float octaves, int bin, float within) const;

  std::array<std::uint16_t, kBins> counts_{};
  float in_bins_ = 0;
  float sum_ = 0, number_ = 0;  ///< Of the values: their mean.
};

}  // namespace wattd::ml
