#pragma once
#include <string>
#include <vector>

#include "cli/ml/frame.h"
#include "ml-lite/failure/maintenance_model.h"

namespace wattd::cli {

/// What a model says of a row: a probability, a risk or a life with its interval, and the chances to survive.
struct Judged {
  double value = 0, low = 0, high = 0;
  std::vector<double> survival;
};

/// What is known of each row, for the file of predictions. Empty where the file does not have it.
struct Truth {
  enum Kind { failure, survival, life } kind = failure;
  std::vector<double> first, second;  ///< Flag; time and event; remaining life.
};

std::vector<Judged> judge(const ml::MaintenanceModel& model, const ml::Table& rows, const ml::UnitHistories& histories,
                          const std::vector<double>& survival_at, const std::string& path);

/// `lives`: a file with the life that is left after the last row of each unit, one a line; else a unit's last row is
/// its failure.
Truth truth_of(const ml::MaintenanceModel& model, const Frame& frame, const std::string& lives, bool may_be_missing);

/// Leaves the last row of each unit.
void keep_last(const ml::UnitHistories& histories, Truth& truth, std::vector<Judged>& judged,
               std::vector<std::string>& reasons);

/// For each row, the three columns that say most, with their shares.
std::vector<std::string> reasons(const ml::MaintenanceModel& model, const ml::Table& rows,
                                 const ml::UnitHistories& histories, const std::string& path);

/// What stands beside each judgement, where it was asked for.
struct Beside {
  std::vector<double> survival_at;   ///< The chances to survive up to these times.
  std::vector<std::string> reasons;  ///< Empty, or one a row.
  bool hours = false;                ///< Of failure probabilities: the time to failure that they stand for.
};
void write_judged(const std::string& path, const Truth& truth, const std::vector<Judged>& judged, const Beside& beside);

}  // namespace wattd::cli
