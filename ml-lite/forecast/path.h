#pragma once
#include <string_view>
#include <vector>

namespace wattd::ml {

/// A forecast with how sure it is. Shape: a value for each step ahead. Units: of the series.
struct Path {
  std::vector<double> mean;
  std::vector<double> deviation;  ///< As the model has it; see SeriesModel for bands that hold.
};

/// A forecast of one step with bands that hold. Units: of the series.
struct Step {
  double median, low80, high80, low95, high95;
};

/// One of the parts that add up to a forecast. Units: of the series.
struct Part {
  std::string_view name;
  double value;
};

}  // namespace wattd::ml
