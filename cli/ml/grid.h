#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cli/ml/frame.h"

namespace wattd::cli {

/// A series on its grid: every step has a place, what the file leaves out is NaN. Months are steps too, though no two
/// are alike.
struct Grid {
  ml::LocalTime first;
  std::chrono::seconds step;
  std::size_t period = 0;  ///< 12 for months.
  std::vector<double> values;
  std::vector<std::string> stamps;  ///< As the file has them; empty where it has none.

  /// Where a time lies, counted from the first step on, also before it; nothing between the steps.
  std::optional<std::int64_t> place_of(ml::LocalTime at) const;
  /// The time of a step as the file would write it, also of steps behind the last.
  std::string stamp(std::size_t index) const;
};

/// Local times that come twice because clocks were set back are one step, the mean of both; those that were left out
/// are missing. Errors: throws BadInput for other times that fall back or come twice, and for those between the steps.
Grid grid_of(const SeriesFile& series);

/// The place of each row of the file in its grid. Shape: a place a row.
std::vector<std::size_t> places_in(const Grid& grid, const SeriesFile& series);

}  // namespace wattd::cli
