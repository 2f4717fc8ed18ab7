#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "ml-lite/load/state.h"
#include "telemetry/bytes.h"

namespace wattd::ml::load {

/// Forecasts that were made of what came later, by a model that had not seen it.
struct Rehearsal {
  struct Origin {
    std::size_t at;  ///< Index of the last known hour.
    std::vector<double>
        off;  ///< Truth less forecast of each hour ahead; NaN where it has not come yet. Units: of State::z.
  };
  std::vector<Origin> origins;
  std::size_t end = 0;  ///< The last hour that was known when it was looked back.
};

/// Bands that hold: how far forecasts were off in a rehearsal, scaled by how far ahead they looked, by the hour of the
/// day, and by how good the last two weeks were; and from that the quantiles. Source: Vovk, Gammerman, Shafer 2005
/// (conformal prediction); Lei et al. 2018 (locally scaled); Gibbs, Candès 2021 (levels that shift).
class Bands {
 public:
  Bands() = default;
  Bands(const State& state, const Rehearsal& rehearsal);

  enum Level : std::uint8_t { eighty, ninety_five };
  struct Band {
    double low, high;  ///< To be added to a forecast. Units: of State::z.
  };
  /// Of a forecast `h` hours ahead (1 to 168) of this hour of the day.
  Band band(Level level, std::size_t h, std::uint32_t hour) const;

  void write(ByteWriter& out) const;
  static Bands read(ByteReader& in);

 private:
  static constexpr std::size_t kStretches = 7;
  static std::size_t stretch_of(std::size_t h);

  std::array<double, kStretches> usual_{};  ///< Mean distance.
  std::array<double, 24> of_hour_{};
  double lately_ = 1;
  std::array<std::array<Band, kStretches>, 2> quantiles_{};
};

}  // namespace wattd::ml::load
