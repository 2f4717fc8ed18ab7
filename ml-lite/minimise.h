#pragma once
#include <functional>
#include <vector>

namespace wattd::ml {

/// Where a smooth function is smallest, as far as walking downhill from `start` tells; slopes by differences.
/// Errors: none; a value that is no number is taken for a wall.
/// Source: Broyden, Fletcher, Goldfarb, Shanno 1970; Armijo 1966.
struct Minimum {
  std::vector<double> at;
  double value = 0;
  int calls = 0;
};
Minimum minimise(const std::function<double(const std::vector<double>&)>& function, std::vector<double> start,
                 int most_steps = 60, double tolerance = 1e-7);

}  // namespace wattd::ml
