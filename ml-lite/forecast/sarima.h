#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ml-lite/forecast/path.h"
#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

/// (p, d, q)(P, D, Q) of a season's length, as Box and Jenkins write it.
struct SarimaOrder {
  std::uint32_t p = 1, d = 0, q = 1;
  std::uint32_t seasonal_p = 1, seasonal_d = 1, seasonal_q = 1;
  std::uint32_t season = 24;
};

struct SarimaOptions {
  SarimaOrder order;
  /// How the values before the first are thought of. Infinite: as unknown, which is the exact likelihood of the
  /// differenced series. Finite, for d = 0 and D = 1 only: as drawn with this variance, and the first season's own
  /// terms left out, as statsmodels' approximate diffuse start has it.
  double start_variance = 0;  ///< 0: infinite.
};

/// Autoregression and moving averages of a differenced series, seasonal ones too.
/// Threads: any, once fitted.
/// Source: Box, Jenkins 1970; Harvey 1989 (state space, exact likelihood); Jones 1980 and Monahan 1984 (stationarity).
class Sarima {
 public:
  static constexpr std::string_view kKind = "sarima";
  static constexpr std::uint8_t kVersion = 1;

  /// Shape: values at equal distances, none missing.
  /// Errors: permanent, for missing values or a series too short for the order.
  static Result<Sarima> fit(std::span<const double> values, const SarimaOptions& options = {});
  /// The likelihood of a series for given parameters: p, q, P, Q of them, then the variance. Shape: in that order.
  static double log_likelihood_of(std::span<const double> values, const SarimaOptions& options,
                                  std::span<const double> parameters);

  /// AR, MA, seasonal AR, seasonal MA, and the variance.
  const std::vector<double>& parameters() const { return parameters_; }
  double log_likelihood() const { return log_likelihood_; }
  /// From the end of the series it was fitted on, or was told of since. Units: of the values.
  Path forecast(std::uint32_t steps) const;
  /// One more value: O(r²) for the longest lag r.
  void observe(double value);

  void write(ByteWriter& out) const;
  static Sarima read(ByteReader& in);

 private:
  SarimaOrder order_;
  std::vector<double> parameters_;
  double log_likelihood_ = 0;
  std::vector<double> state_;       ///< Of the differenced series.
  std::vector<double> covariance_;  ///< r × r, of unit variance.
  std::vector<double> recent_;      ///< What undoing the differences needs: the last d + D × season values.
  double centre_ = 0;               ///< Of a series that is not differenced.
};

}  // namespace wattd::ml
