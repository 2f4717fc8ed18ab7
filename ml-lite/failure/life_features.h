#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "ml-lite/table.h"
#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

/// The histories of units, one behind the other, each in its own order.
/// Shape: a unit and an age for each row; rows of a unit stand together.
struct UnitHistories {
  Table sensors;
  std::vector<std::uint32_t> unit;
  std::vector<double> age;  ///< Cycles, hours of work or whatever wears.

  /// First row and one behind the last of each unit. Errors: permanent, when a unit comes again or its age falls.
  Result<std::vector<std::pair<std::size_t, std::size_t>>> units() const;
};

/// What tells how worn a unit is: an index of health (a straight line through its sensors that falls with the life that
/// is left), the two directions in which sensors drift most, and of each its level, its means and slopes over short to
/// whole-life windows, and where it started. Looks back only: a row's features do not change when later rows come.
/// Source: Saxena et al. 2008 (health index of C-MAPSS engines).
class LifeFeatures {
 public:
  /// Shape: the life that is left for each row. Sensors that never change are left out.
  /// Errors: permanent, when no sensor changes.
  static Result<LifeFeatures> fit(const UnitHistories& histories, std::span<const double> life);

  /// Shape: a row of width() features for each row of `histories`, which has the sensors that fit() saw.
  Table of(const UnitHistories& histories) const;
  std::size_t sensors() const { return means_.size(); }
  static constexpr std::size_t width() { return 1 + kChannels * (2 * kWindows.size() + 1) + kRatios.size(); }

  void write(ByteWriter& out) const;
  static LifeFeatures read(ByteReader& in);

 private:
  static constexpr std::size_t kChannels = 3;
  static constexpr std::array<std::size_t, 6> kWindows{5, 15, 30, 60, 120, 1'000'000'000};
  static constexpr std::array<std::size_t, 3> kRatios{30, 60, 1'000'000'000};

  std::vector<double> means_, scales_;  ///< Of each sensor; a scale of 0: it is left out.
  std::vector<double> weights_;         ///< Channels × sensors.
  double offset_ = 0;                   ///< Of the health index.
};

}  // namespace wattd::ml
