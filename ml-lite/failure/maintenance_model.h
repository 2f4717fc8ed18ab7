#pragma once
#include <cstdint>
#include <string>
#include <variant>

#include "ml-lite/failure/calibration.h"
#include "ml-lite/failure/cox.h"
#include "ml-lite/failure/failure_committee.h"
#include "ml-lite/failure/remaining_life.h"
#include "ml-lite/features/recipe.h"

namespace wattd::ml {

/// A fitted model with the recipe that makes its rows of a file's columns: what is kept, shipped and asked.
/// Threads: any, once fitted.
class MaintenanceModel {
 public:
  static constexpr std::string_view kKind = "maintenance";
  static constexpr std::uint8_t kVersion = 1;
  using Any = std::variant<RandomForest, GradientBoosting, FailureCommittee, Cox, RemainingLife>;

  Recipe recipe;
  std::string target;     ///< The failure flag, or the time of survival.
  std::string event;      ///< Of survival: whether the time ended with a failure.
  std::string unit, age;  ///< Of remaining life.
  Any model;
  Calibration calibration;  ///< Of failure probabilities.

  /// `failure-committee`, `cox` …
  std::string_view kind() const;
  /// Of a row each: the calibrated probability of a failure, or what else its target was. Nothing of Cox and remaining
  /// life.
  std::vector<double> probabilities(const Table& rows) const;
  /// The histories of remaining life. Errors: permanent, when a column is not there.
  Result<UnitHistories> histories(std::span<const Column> columns) const;

  void write(ByteWriter& out) const;
  static MaintenanceModel read(ByteReader& in);
};

}  // namespace wattd::ml
