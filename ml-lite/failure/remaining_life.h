#pragma once
#include <cstdint>
#include <vector>

#include "ml-lite/failure/life_features.h"
#include "ml-lite/failure/random_forest.h"
#include "ml-lite/trees/boosting.h"

namespace wattd::ml {

struct RemainingLifeOptions {
  double cap = 125;       ///< Lives longer than this are all alike: nothing tells them apart yet. Units: of the age.
  double coverage = 0.9;  ///< Of the interval.
  std::uint64_t seed = 1;
};

/// How long a unit will last, from the whole histories of units that failed.
/// Threads: any, once fitted.
/// Source: Saxena et al. 2008; Vovk, Gammerman, Shafer 2005 (intervals from units that were held back).
class RemainingLife {
 public:
  static constexpr std::string_view kKind = "remaining-life";
  static constexpr std::uint8_t kVersion = 1;

  struct Life {
    double expected, low, high;  ///< Units: of the age, at most the cap.
  };

  /// Shape: histories up to the failure of each unit; at least ten units.
  /// Errors: permanent, for fewer units, histories out of order, or sensors that never change.
  static Result<RemainingLife> fit(const UnitHistories& histories, const RemainingLifeOptions& options = {});

  /// Shape: a life for each row. Rows of a unit before the one in question belong to it. Errors: as
  /// UnitHistories::units().
  Result<std::vector<Life>> predict(const UnitHistories& histories) const;
  /// By how much each sensor moved each row's life: what would be expected less what would be if it had always been
  /// usual. Shape: a row a row, a column a sensor. Units: of the age. Errors: as predict(). Costs a predict() a sensor.
  Result<Table> explain(const UnitHistories& histories) const;
  double cap() const { return cap_; }
  std::size_t sensors() const { return features_.sensors(); }

  void write(ByteWriter& out) const;
  static RemainingLife read(ByteReader& in);

 private:
  /// What lay around predictions of about this life.
  struct Margin {
    double at, low, high;
  };
  Result<void> check(const UnitHistories& histories) const;
  std::vector<double> expected(const UnitHistories& histories) const;
  static Result<RemainingLife> fit_mean(const UnitHistories& histories, std::span<const double> life,
                                        const RemainingLifeOptions& options);

  double cap_ = 125;
  LifeFeatures features_;
  GradientBoosting boosted_;
  RandomForest forest_;
  std::vector<Margin> margins_;
};

}  // namespace wattd::ml
