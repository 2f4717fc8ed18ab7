#include "ml-lite/load/neighbours.h"

#include <algorithm>
#include <numeric>

namespace wattd::ml::load {
namespace {

template <std::size_t N>
double median_of(std::array<double, N> values) {
  std::ranges::sort(values);
  return (values[N / 2] + values[(N - 1) / 2]) / 2;
}

template <std::size_t N>
double mean_of(const std::array<double, N>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / N;
}

}  // namespace

Neighbours::Neighbours(const State& state, std::size_t s, std::size_t h)
    : origin(s - h), days((h + 23) / 24), weeks((h + kWeek - 1) / kWeek), slot(state.slot(s)) {
  const auto target = static_cast<std::ptrdiff_t>(s);
  for (std::size_t k = 0; k < same_hour.size(); ++k)
    same_hour[k] = z_at(state, target - static_cast<std::ptrdiff_t>(24 * (days + k)));
  for (std::size_t k = 0; k < same_week_hour.size(); ++k)
    same_week_hour[k] = z_at(state, target - static_cast<std::ptrdiff_t>(kWeek * (weeks + k)));
  day_mean = mean_of(same_hour), day_median = median_of(same_hour);
  week_mean = mean_of(same_week_hour), week_median = median_of(same_week_hour);
  level = state.mean(State::week, origin);
  usual = state.usual(origin, slot.index());
  usual_of_hour = state.usual_of_hour(origin, slot.hour);
}

}  // namespace wattd::ml::load
