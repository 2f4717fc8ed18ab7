#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ml-lite/forecast/path.h"
#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

enum class Season : std::uint8_t { none, additive, multiplicative };

/// Which parts the smoothing has.
struct SmoothingForm {
  bool trend = false;  ///< Damped: a straight line for ever is nobody's load.
  Season season = Season::additive;
};

/// Exponential smoothing (Holt-Winters): a level, a trend and a season that follow the series. O(1) a value once
/// fitted. Threads: any, once fitted; observe() from one. Source: Holt 1957; Winters 1960; Hyndman, Koehler, Ord,
/// Snyder 2008 (state space, choice by AICc).
class Smoothing {
 public:
  static constexpr std::string_view kKind = "holt-winters";
  static constexpr std::uint8_t kVersion = 1;

  /// The form with the lowest AICc: with or without trend, and with the season added or (values above 0) multiplied.
  /// Shape: values at equal distances, none missing, at least two periods; a `period` of 1 has no season.
  /// Errors: permanent, for a series too short or with missing values.
  static Result<Smoothing> fit(std::span<const double> values, std::uint32_t period);
  static Result<Smoothing> fit(std::span<const double> values, std::uint32_t period, SmoothingForm form);

  SmoothingForm form() const { return form_; }
  double aicc() const { return aicc_; }
  Path forecast(std::uint32_t steps) const;
  /// What makes up the forecast of a step ahead: its level with the trend, and its season.
  std::vector<Part> explain(std::uint32_t step) const;
  /// One more value; NaN: a step of which nothing is known.
  void observe(double value);

  void write(ByteWriter& out) const;
  static Smoothing read(ByteReader& in);

 private:
  /// Level and trend alone.
  double without_season(std::uint32_t steps) const;
  double ahead(std::uint32_t steps) const;
  void start(std::span<const double> values, std::uint32_t period);
  double squares(std::span<const double> values) const;

  SmoothingForm form_;
  double alpha_ = 0.1, beta_ = 0, gamma_ = 0, damping_ = 1;
  double level_ = 0, slope_ = 0;
  std::vector<double> season_;  ///< The next step's first.
  std::uint32_t next_ = 0;
  double variance_ = 0;
  double aicc_ = 0;
};

}  // namespace wattd::ml
