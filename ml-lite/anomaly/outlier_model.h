#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "ml-lite/anomaly/autoencoder.h"
#include "ml-lite/anomaly/false_alarms.h"
#include "ml-lite/anomaly/isolation_forest.h"
#include "ml-lite/anomaly/outlier_ensemble.h"
#include "ml-lite/features/recipe.h"

namespace wattd::ml {

struct OutlierOptions {
  std::string_view model = OutlierEnsemble::kKind;  ///< A member of OutlierModel::Any, by its kind.
  double tails = 0.5;                               ///< Of an isolation forest.
  std::uint64_t seed = 1;
};

/// A model of odd rows with the recipe that makes its rows of a file's columns, and what its scores are worth: what is
/// kept, shipped and asked. Threads: any, once fitted.
class OutlierModel {
 public:
  static constexpr std::string_view kKind = "outliers";
  static constexpr std::uint8_t kVersion = 1;
  using Any = std::variant<IsolationForest, OutlierEnsemble, Autoencoder>;

  /// Fits on all rows of the columns; and on three quarters of them four times, to see how high rows score that were
  /// not fitted on. Errors: permanent, as the model's own fit() and Recipe::learn().
  static Result<OutlierModel> fit(std::span<const Column> columns, const RecipeOptions& recipe,
                                  const OutlierOptions& options);

  struct Judgement {
    double score = 0;  ///< As the model has it.
    double rate = 1;   ///< The share of usual rows that score as high; NaN of a row of which nothing is known.
  };
  /// Shape: a judgement for each of the columns' rows. Errors: permanent, when a column is not there.
  Result<std::vector<Judgement>> judge(std::span<const Column> columns) const;
  /// Each column's part of a row's score. Shape: a row of the recipe's; a share for each of its names.
  std::vector<double> explain(std::span<const double> row) const;
  const FalseAlarms& false_alarms() const { return false_alarms_; }
  const Recipe& recipe() const { return recipe_; }
  /// `isolation-forest`, `outlier-ensemble` or `autoencoder`.
  std::string_view kind() const;

  void write(ByteWriter& out) const;
  static OutlierModel read(ByteReader& in);

 private:
  static Result<Any> fit_any(const Table& rows, const OutlierOptions& options);

  Recipe recipe_;
  Any model_;
  FalseAlarms false_alarms_;
};

}  // namespace wattd::ml
