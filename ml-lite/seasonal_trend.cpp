#include "ml-lite/seasonal_trend.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ml-lite/measures.h"

namespace wattd::ml {
namespace {

/// A local regression: of which degree, over how many points, at every how many of them (straight lines between).
struct Smoother {
  int window;
  int degree;
  int jump;

  Smoother(int points, int of_degree) : window(points), degree(of_degree), jump((points + 9) / 10) {}
};

/// Fits at `x` (counted from 0) over the points first to last. Returns whether any of them had weight.
/// `robust`: empty, or a weight for each value.
bool fit_at(std::span<const double> y, const Smoother& smoother, double x, int first, int last,
            std::span<const double> robust, std::vector<double>& weights, double& fitted) {
  const auto n = static_cast<int>(y.size());
  double reach = std::max(x - first, last - x);
  if (smoother.window > n) reach += (smoother.window - n) / 2;
  double sum = 0;
  weights.resize(y.size());
  for (int j = first; j <= last; ++j) {
    const double distance = std::abs(j - x);
    double weight = 0;
    if (distance <= 0.999 * reach) {
      const double share = distance / reach;
      weight = distance <= 0.001 * reach ? 1 : std::pow(1 - share * share * share, 3);
      if (!robust.empty()) weight *= robust[static_cast<std::size_t>(j)];
    }
    sum += weights[static_cast<std::size_t>(j)] = weight;
  }
  if (sum <= 0) return false;
  double centre = 0, spread = 0;
  for (int j = first; j <= last; ++j) centre += (weights[static_cast<std::size_t>(j)] /= sum) * j;
  if (reach > 0 && smoother.degree > 0) {
    for (int j = first; j <= last; ++j) spread += weights[static_cast<std::size_t>(j)] * (j - centre) * (j - centre);
    if (std::sqrt(spread) > 0.001 * (n - 1)) {
      const double slope = (x - centre) / spread;
      for (int j = first; j <= last; ++j) weights[static_cast<std::size_t>(j)] *= slope * (j - centre) + 1;
    }
  }
  fitted = 0;
  for (int j = first; j <= last; ++j) fitted += weights[static_cast<std::size_t>(j)] * y[static_cast<std::size_t>(j)];
  return true;
}

void between(std::span<double> smooth, int from, int to) {
  const double first = smooth[static_cast<std::size_t>(from)];
  const double step = (smooth[static_cast<std::size_t>(to)] - first) / (to - from);
  for (int j = from + 1; j < to; ++j) smooth[static_cast<std::size_t>(j)] = first + step * (j - from);
}

void smooth_into(std::span<const double> y, const Smoother& smoother, std::span<const double> robust,
                 std::span<double> smooth, std::vector<double>& weights) {
  const auto n = static_cast<int>(y.size());
  if (n < 2) return void(std::ranges::copy(y, smooth.begin()));
  const int jump = std::min(smoother.jump, n - 1), half = (smoother.window + 1) / 2;
  int first = 0, last = std::min(smoother.window, n) - 1;
  const auto fit = [&](int i) {
    auto& fitted = smooth[static_cast<std::size_t>(i)];
    if (!fit_at(y, smoother, i, first, last, robust, weights, fitted)) fitted = y[static_cast<std::size_t>(i)];
  };
  for (int i = 0; i < n; i += jump) {
    if (smoother.window < n) {
      first = std::clamp(i + 1 - half, 0, n - smoother.window);
      last = first + smoother.window - 1;
    }
    fit(i);
    if (i > 0) between(smooth, i - jump, i);
  }
  if (const int reached = (n - 1) / jump * jump; reached != n - 1) {
    fit(n - 1);
    between(smooth, reached, n - 1);
  }
}

/// Means of `width` neighbours. Shape: width - 1 fewer.
std::vector<double> moving_means(std::span<const double> values, std::size_t width) {
  std::vector<double> means;
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum += values[i];
    if (i + 1 < width) continue;
    means.push_back(sum / static_cast<double>(width));
    sum -= values[i + 1 - width];
  }
  return means;
}

class Loop {
 public:
  Loop(std::span<const double> values, const SeasonalTrendOptions& options, int seasonal, int trend,
       int seasonal_degree)
      : y_(values),
        period_(options.period),
        seasonal_(seasonal, seasonal_degree),
        trend_(trend, 1),
        low_(static_cast<int>(options.period | 1U), 1),
        result_{std::vector<double>(values.size()), std::vector<double>(values.size())} {}

  SeasonalTrend run(bool robust) {
    const int inner = robust ? 1 : 2, outer = robust ? 15 : 0;
    for (int round = 0;; ++round) {
      for (int i = 0; i < inner; ++i) step();
      if (round == outer) return std::move(result_);
      weigh();
    }
  }

 private:
  void step() {
    std::vector<double> rest(y_.size());
    for (std::size_t i = 0; i < y_.size(); ++i) rest[i] = y_[i] - result_.trend[i];
    const auto cycles = smooth_cycles(rest);
    const auto means = moving_means(moving_means(moving_means(cycles, period_), period_), 3);
    smooth_into(means, low_, {}, rest, weights_);
    for (std::size_t i = 0; i < y_.size(); ++i) result_.season[i] = cycles[period_ + i] - rest[i];
    for (std::size_t i = 0; i < y_.size(); ++i) rest[i] = y_[i] - result_.season[i];
    smooth_into(rest, trend_, robust_, result_.trend, weights_);
  }

  /// Each phase of the period smoothed over the periods, and carried one period further at both ends.
  std::vector<double> smooth_cycles(std::span<const double> rest) {
    std::vector<double> cycles(rest.size() + 2 * period_), phase, robust, smooth;
    for (std::size_t first = 0; first < period_; ++first) {
      phase.clear(), robust.clear();
      for (auto i = first; i < rest.size(); i += period_) {
        phase.push_back(rest[i]);
        if (!robust_.empty()) robust.push_back(robust_[i]);
      }
      const auto count = static_cast<int>(phase.size());
      smooth.assign(phase.size() + 2, 0);
      smooth_into(phase, seasonal_, robust, std::span(smooth).subspan(1, phase.size()), weights_);
      const int window = std::min(seasonal_.window, count);
      if (!fit_at(phase, seasonal_, -1, 0, window - 1, robust, weights_, smooth.front())) smooth.front() = smooth[1];
      if (!fit_at(phase, seasonal_, count, count - window, count - 1, robust, weights_, smooth.back()))
        smooth.back() = smooth[phase.size()];
      for (std::size_t m = 0; m < smooth.size(); ++m) cycles[first + m * period_] = smooth[m];
    }
    return cycles;
  }

  void weigh() {
    robust_.resize(y_.size());
    for (std::size_t i = 0; i < y_.size(); ++i) robust_[i] = std::abs(y_[i] - result_.trend[i] - result_.season[i]);
    const double far = 6 * median(robust_);
    for (double& weight : robust_) {
      const double share = weight / far;
      weight = weight <= 0.001 * far ? 1 : weight <= 0.999 * far ? (1 - share * share) * (1 - share * share) : 0;
    }
  }

  std::span<const double> y_;
  std::size_t period_;
  Smoother seasonal_, trend_, low_;
  SeasonalTrend result_;
  std::vector<double> robust_;
  std::vector<double> weights_;
};

/// A season that never changes is the mean of its smoothed cycles.
void make_periodic(std::vector<double>& season, std::size_t period) {
  for (std::size_t first = 0; first < period; ++first) {
    double sum = 0, count = 0;
    for (auto i = first; i < season.size(); i += period) sum += season[i], count += 1;
    for (auto i = first; i < season.size(); i += period) season[i] = sum / count;
  }
}

}  // namespace

Result<SeasonalTrend> take_apart(std::span<const double> values, const SeasonalTrendOptions& options) {
  if (options.period < 2) return fail(ErrorKind::permanent, "a period has at least 2 steps");
  if (values.size() < 2 * options.period)
    return fail(ErrorKind::permanent,
                fmt::format("{} values are fewer than two periods of {}", values.size(), options.period));
  if (values.size() > 20'000'000) return fail(ErrorKind::permanent, "more than 20 million values");
  if (!std::ranges::all_of(values, [](double value) { return std::isfinite(value); }))
    return fail(ErrorKind::permanent, "a value is missing");
  const bool periodic = options.seasonal_window == 0;
  const int seasonal =
      periodic ? 10 * static_cast<int>(values.size()) + 1 : static_cast<int>(options.seasonal_window | 1U);
  const int usual = static_cast<int>(std::ceil(1.5 * options.period / (1 - 1.5 / seasonal)));
  const int trend = options.trend_window != 0 ? static_cast<int>(options.trend_window | 1U) : usual | 1;
  auto parts = Loop(values, options, seasonal, trend, periodic ? 0 : 1).run(options.robust);
  if (periodic) make_periodic(parts.season, options.period);
  return parts;
}

}  // namespace wattd::ml
