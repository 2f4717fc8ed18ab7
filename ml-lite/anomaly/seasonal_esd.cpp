#include "ml-lite/anomaly/seasonal_esd.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>

#include "ml-lite/measures.h"
#include "ml-lite/seasonal_trend.h"

namespace wattd::ml {
namespace {

/// What is left of the values, kept sorted so that medians and extremes are found where they stand.
class Rest {
 public:
  explicit Rest(std::span<const double> values) : order_(values.size()), values_(values) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::ranges::stable_sort(order_, [&](auto a, auto b) { return values[a] < values[b]; });
  }

  std::size_t size() const { return order_.size(); }
  double centre() const { return (at(size() / 2) + at((size() - 1) / 2)) / 2; }
  /// The median distance from the centre. O(log n).
  double spread() const { return 1.4826 * (distance((size() - 1) / 2) + distance(size() / 2)) / 2; }
  /// The index of the most extreme one, the first of equals; and its distance from the centre.
  std::pair<std::size_t, double> extreme(Direction direction) const {
    const double above = at(size() - 1) - centre(), below = centre() - at(0);
    const bool up = direction == Direction::above || (direction == Direction::both && above >= below);
    std::size_t place = 0;
    if (up) {
      place = size() - 1;
      while (place > 0 && at(place - 1) == at(place)) --place;
    }
    return {place, up ? above : below};
  }
  std::size_t take(std::size_t place) {
    const auto index = order_[place];
    order_.erase(order_.begin() + static_cast<std::ptrdiff_t>(place));
    return index;
  }

 private:
  double at(std::size_t place) const { return values_[order_[place]]; }

  /// The k-th smallest distance from the centre (from 0 on): to each side of it distances rise, so it is enough to find
  /// how many of the k + 1 nearest lie below.
  double distance(std::size_t k) const {
    const auto below = size() / 2, above = size() - below;
    const double middle = centre();
    const auto down = [&](std::size_t i) { return middle - at(below - 1 - i); };
    const auto up = [&](std::size_t i) { return at(below + i) - middle; };
    auto least = k + 1 > above ? k + 1 - above : 0, most = std::min(k + 1, below);
    while (least < most) {
      const auto some = (least + most) / 2;
      if (down(some) < up(k - some)) {
        least = some + 1;
      } else {
        most = some;
      }
    }
    return std::max(least > 0 ? down(least - 1) : 0.0, k + 1 > least ? up(k - least) : 0.0);
  }

  std::vector<std::size_t> order_;
  std::span<const double> values_;
};

/// What Rosner's test asks of the i-th of n values to be an outlier.
double critical(std::size_t n, std::size_t i, const SeasonalEsdOptions& options) {
  const auto left = static_cast<double>(n - i);
  const double tails = options.direction == Direction::both ? 2 : 1;
  const double p = 1 - options.alpha / (tails * (left + 1));
  const double t = boost::math::quantile(boost::math::students_t(left - 1), p);
  return t * left / std::sqrt((left - 1 + t * t) * (left + 1));
}

Result<SeasonalTrend> parts_of(std::span<const double> values, const SeasonalEsdOptions& options) {
  if (!(options.most > 0 && options.most < 0.5))
    return fail(ErrorKind::permanent, "the share of anomalies has to lie between 0 and a half");
  if (!(options.alpha > 0 && options.alpha < 1)) return fail(ErrorKind::permanent, "alpha has to lie between 0 and 1");
  return take_apart(values, {.period = options.period});
}

/// Without season and median.
std::vector<double> left_of(std::span<const double> values, const SeasonalTrend& parts) {
  const double centre = median({values.begin(), values.end()});
  std::vector<double> left(values.begin(), values.end());
  for (std::size_t i = 0; i < left.size(); ++i) left[i] -= parts.season[i] + centre;
  return left;
}

}  // namespace

Result<std::vector<Outlier>> seasonal_esd(std::span<const double> values, const SeasonalEsdOptions& options) {
  auto parts = parts_of(values, options);
  if (!parts) return std::unexpected(parts.error());
  const auto left = left_of(values, *parts);
  Rest rest(left);
  const auto n = values.size();
  const auto most = std::max<std::size_t>(1, static_cast<std::size_t>(static_cast<double>(n) * options.most));
  std::vector<Outlier> outliers;
  std::size_t found = 0;
  for (std::size_t i = 1; i <= most && n - i >= 2; ++i) {
    const double spread = rest.spread();
    if (spread == 0) break;
    const auto [place, distance] = rest.extreme(options.direction);
    const double strength = distance / spread / critical(n, i, options);
    const auto index = rest.take(place);
    outliers.push_back({index, parts->season[index] + parts->trend[index], strength});
    if (strength > 1) found = i;
  }
  outliers.resize(found);
  return outliers;
}

Result<std::vector<double>> seasonal_distances(std::span<const double> values, const SeasonalEsdOptions& options) {
  auto parts = parts_of(values, options);
  if (!parts) return std::unexpected(parts.error());
  auto left = left_of(values, *parts);
  const double centre = median(left), spread = robust_deviation(left);
  for (double& value : left) {
    value = spread > 0 ? (value - centre) / spread : value != centre ? std::copysign(1e6, value - centre) : 0;
    value = options.direction == Direction::above   ? std::max(value, 0.0)
            : options.direction == Direction::below ? std::max(-value, 0.0)
                                                    : std::abs(value);
  }
  return left;
}

}  // namespace wattd::ml
