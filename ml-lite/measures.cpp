#include "ml-lite/measures.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

namespace wattd::ml {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Means `term(i)` over all indices for which it is a number.
template <class Term>
double mean_of(std::size_t count, Term term) {
  double sum = 0;
  std::size_t used = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double value = term(i);
    if (!std::isnan(value)) sum += value, ++used;
  }
  return used == 0 ? kNaN : sum / static_cast<double>(used);
}

std::vector<std::size_t> by_score(std::span<const double> score) {
  std::vector<std::size_t> order(score.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](auto a, auto b) { return score[a] > score[b]; });
  return order;
}

/// Calls `step(threshold, true positives, alarms)` for each distinct score, from the highest on.
template <class Step>
void each_threshold(std::span<const double> label, std::span<const double> score, Step step) {
  const auto order = by_score(score);
  double hits = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    hits += label[order[i]] > 0;
    if (i + 1 == order.size() || score[order[i + 1]] != score[order[i]])
      step(score[order[i]], hits, static_cast<double>(i + 1));
  }
}

}  // namespace

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return kNaN;
  const double place = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(below);
  std::ranges::nth_element(values, middle);
  const double share = place - static_cast<double>(below);
  if (share == 0) return *middle;
  return *middle + share * (*std::min_element(middle + 1, values.end()) - *middle);
}

double robust_deviation(std::vector<double> values) {
  const double centre = median(values);
  for (double& value : values) value = std::abs(value - centre);
  return 1.4826 * median(std::move(values));
}

double mean(std::span<const double> values) {
  return mean_of(values.size(), [&](std::size_t i) { return values[i]; });
}

double deviation(std::span<const double> values) {
  if (values.size() < 2) return 0;
  const double centre = mean(values);
  double sum = 0;
  for (const double value : values) sum += (value - centre) * (value - centre);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

double naive_scale(std::span<const double> history, std::size_t period) {
  if (history.size() <= period) return kNaN;
  return mean_of(history.size() - period, [&](std::size_t i) { return std::abs(history[i + period] - history[i]); });
}

double mean_absolute_error(std::span<const double> actual, std::span<const double> forecast) {
  return mean_of(actual.size(), [&](std::size_t i) { return std::abs(actual[i] - forecast[i]); });
}

double root_mean_squared_error(std::span<const double> actual, std::span<const double> forecast) {
  return std::sqrt(
      mean_of(actual.size(), [&](std::size_t i) { return (actual[i] - forecast[i]) * (actual[i] - forecast[i]); }));
}

double mase(std::span<const double> actual, std::span<const double> forecast, double scale) {
  return mean_absolute_error(actual, forecast) / scale;
}

double smape(std::span<const double> actual, std::span<const double> forecast) {
  return 100 * mean_of(actual.size(), [&](std::size_t i) {
           const double both = std::abs(actual[i]) + std::abs(forecast[i]);
           return both == 0 ? 0 : 2 * std::abs(actual[i] - forecast[i]) / both;
         });
}

double mape(std::span<const double> actual, std::span<const double> forecast) {
  return 100 * mean_of(actual.size(), [&](std::size_t i) {
           return actual[i] == 0 ? kNaN : std::abs((actual[i] - forecast[i]) / actual[i]);
         });
}

double pinball(std::span<const double> actual, std::span<const double> forecast, double q) {
  return mean_of(actual.size(), [&](std::size_t i) {
    const double off = actual[i] - forecast[i];
    return std::max(q * off, (q - 1) * off);
  });
}

double coverage(std::span<const double> actual, std::span<const double> low, std::span<const double> high) {
  return mean_of(actual.size(), [&](std::size_t i) { return actual[i] >= low[i] && actual[i] <= high[i] ? 1.0 : 0.0; });
}

double Confusion::precision() const {
  return true_positive + false_positive == 0 ? 0 : true_positive / (true_positive + false_positive);
}
double Confusion::recall() const {
  return true_positive + false_negative == 0 ? 0 : true_positive / (true_positive + false_negative);
}
double Confusion::f1() const {
  const double all = 2 * true_positive + false_positive + false_negative;
  return all == 0 ? 0 : 2 * true_positive / all;
}

Confusion confusion(std::span<const double> label, std::span<const double> score, double threshold) {
  Confusion counts;
  for (std::size_t i = 0; i < label.size(); ++i) {
    const bool alarm = score[i] >= threshold;
    if (label[i] > 0) {
      ++(alarm ? counts.true_positive : counts.false_negative);
    } else {
      ++(alarm ? counts.false_positive : counts.true_negative);
    }
  }
  return counts;
}

double roc_auc(std::span<const double> label, std::span<const double> score) {
  double area = 0, hits_before = 0, alarms_before = 0;
  each_threshold(label, score, [&](double, double hits, double alarms) {
    const double misses = (alarms - hits) - (alarms_before - hits_before);
    area += misses * (hits + hits_before) / 2;
    hits_before = hits, alarms_before = alarms;
  });
  const double positive = hits_before, negative = alarms_before - hits_before;
  return positive == 0 || negative == 0 ? kNaN : area / (positive * negative);
}

double pr_auc(std::span<const double> label, std::span<const double> score) {
  double sum = 0, before = 0;
  each_threshold(label, score, [&](double, double hits, double alarms) {
    sum += (hits - before) * hits / alarms;
    before = hits;
  });
  return before == 0 ? kNaN : sum / before;
}

double brier(std::span<const double> label, std::span<const double> probability) {
  return mean_of(label.size(),
                 [&](std::size_t i) { return (probability[i] - label[i]) * (probability[i] - label[i]); });
}

double calibration_error(std::span<const double> label, std::span<const double> probability) {
  constexpr std::size_t kBins = 10;
  std::array<double, kBins> off{};
  for (std::size_t i = 0; i < label.size(); ++i) {
    const auto bin = static_cast<std::size_t>(std::clamp(probability[i] * kBins, 0.0, kBins - 1.0));
    off[bin] += probability[i] - label[i];
  }
  double sum = 0;
  for (const double each : off) sum += std::abs(each);
  return label.empty() ? kNaN : sum / static_cast<double>(label.size());
}

double best_threshold(std::span<const double> label, std::span<const double> score) {
  const auto positive = static_cast<double>(std::ranges::count_if(label, [](double value) { return value > 0; }));
  double best = -1, threshold = kNaN;
  each_threshold(label, score, [&](double at, double hits, double alarms) {
    const double f1 = 2 * hits / (alarms + positive);
    if (f1 > best) best = f1, threshold = at;
  });
  return threshold;
}

double concordance(std::span<const double> time, std::span<const double> event, std::span<const double> risk) {
  // From the latest time on: each event is compared with all that lasted longer, whose risks are counted in a tree of
  // sums over the ranks of risk (Fenwick 1994).
  if (std::ranges::any_of(risk, [](double each) { return std::isnan(each); })) return kNaN;
  std::vector<double> ranks(risk.begin(), risk.end());
  std::ranges::sort(ranks);
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  std::vector<double> sums(ranks.size() + 1);
  const auto below = [&](std::size_t rank) {  // How many of the counted have a lower rank.
    double sum = 0;
    for (auto i = rank; i > 0; i &= i - 1) sum += sums[i];
    return sum;
  };
  const auto rank_of = [&](std::size_t i) {
    return static_cast<std::size_t>(std::ranges::lower_bound(ranks, risk[i]) - ranks.begin());
  };
  std::vector<std::size_t> order(time.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // At the same time, what did not end with an event lasted longer.
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return time[a] != time[b] ? time[a] > time[b] : (event[a] > 0) < (event[b] > 0);
  });
  double right = 0, pairs = 0, counted = 0;
  for (std::size_t from = 0; from < order.size();) {
    auto to = from;
    const auto alike = [&](std::size_t i) {
      return time[order[i]] == time[order[from]] && (event[order[i]] > 0) == (event[order[from]] > 0);
    };
    while (to < order.size() && alike(to)) ++to;
    for (auto i = from; i < to && event[order[from]] > 0; ++i) {
      const auto rank = rank_of(order[i]);
      const double lower = below(rank), same = below(rank + 1) - lower;
      pairs += counted, right += lower + same / 2;
    }
    for (; from < to; ++from, ++counted) {
      for (auto i = rank_of(order[from]) + 1; i < sums.size(); i += i & (~i + 1)) sums[i] += 1;
    }
  }
  return pairs == 0 ? kNaN : right / pairs;
}

}  // namespace wattd::ml
