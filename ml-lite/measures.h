#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace wattd::ml {

/// What lies below a share `q` of the values, between neighbours in proportion; NaN of none.
/// Source: Hyndman, Fan 1996, definition 7.
double quantile(std::vector<double> values, double q);
inline double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }
/// 1.4826 times the median distance from the median: the deviation of a normal distribution.
double robust_deviation(std::vector<double> values);
double mean(std::span<const double> values);
double deviation(std::span<const double> values);  ///< With n - 1; 0 of fewer than two.

// --- Forecasts. Shape: as many forecasts as actual values. ---

/// The mean absolute error of the naive forecast `period` steps back, over a history: what MASE divides by.
double naive_scale(std::span<const double> history, std::size_t period);
double mean_absolute_error(std::span<const double> actual, std::span<const double> forecast);
double root_mean_squared_error(std::span<const double> actual, std::span<const double> forecast);
/// Source: Hyndman, Koehler 2006.
double mase(std::span<const double> actual, std::span<const double> forecast, double scale);
/// In per cent; 0 against 0 counts as 0.
double smape(std::span<const double> actual, std::span<const double> forecast);
/// In per cent, over the values that are not 0; NaN when all are.
double mape(std::span<const double> actual, std::span<const double> forecast);
/// The loss of a forecast of quantile q. Source: Koenker, Bassett 1978.
double pinball(std::span<const double> actual, std::span<const double> forecast, double q);
/// The share of values within their bands, 0 to 1.
double coverage(std::span<const double> actual, std::span<const double> low, std::span<const double> high);

// --- Failures. Shape: a label (0 or 1) and a score a row. ---

struct Confusion {
  double true_positive = 0, false_positive = 0, false_negative = 0, true_negative = 0;
  double precision() const;
  double recall() const;
  double f1() const;
};
/// A score of at least the threshold is an alarm.
Confusion confusion(std::span<const double> label, std::span<const double> score, double threshold);
/// The chance that a failure scores above what did not fail; ties count half; NaN when a label is missing.
double roc_auc(std::span<const double> label, std::span<const double> score);
/// Average precision, step by step over the distinct scores.
double pr_auc(std::span<const double> label, std::span<const double> score);
double brier(std::span<const double> label, std::span<const double> probability);
/// Expected calibration error: how far probabilities are from the share that came true, in ten bins of equal width,
/// weighed by how many lie in each. Source: Naeini, Cooper, Hauskrecht 2015.
double calibration_error(std::span<const double> label, std::span<const double> probability);
/// The threshold with the highest F1.
double best_threshold(std::span<const double> label, std::span<const double> score);

/// The share of pairs whose order in time the risk tells; ties count half. Source: Harrell 1982.
double concordance(std::span<const double> time, std::span<const double> event, std::span<const double> risk);

}  // namespace wattd::ml
