#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ml-lite/features/calendar.h"
#include "ml-lite/forecast/path.h"
#include "ml-lite/table.h"
#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

struct AdditiveOptions {
  std::uint32_t change_points = 25;  ///< Of the trend, evenly over the first four fifths.
  double change_scale = 0.05;        ///< How readily the trend turns: the scale of a Laplace prior.
  std::uint32_t daily = 4, weekly = 3,
                yearly = 10;    ///< Fourier terms; those whose period was not seen twice are left out.
  bool residual_memory = true;  ///< What was off at the end fades away step by step instead of at once.
  Holidays holidays;            ///< Past and future ones.
};

/// A series as trend + seasons + holidays + regressors: Prophet's model, solved as a ridge. Bends where growth changes,
/// takes gaps, and says what each part is; for load of the next days the models with lags are better.
/// Threads: any, once fitted.
/// Source: Taylor, Letham 2018.
class Additive {
 public:
  static constexpr std::string_view kKind = "additive";
  static constexpr std::uint8_t kVersion = 1;

  /// Shape: times in order, a value for each (NaN: a gap), and of regressors a row for each or none at all.
  /// Errors: permanent, for fewer than ten values, or regressors that do not match.
  static Result<Additive> fit(std::span<const LocalTime> times, std::span<const double> values,
                              const AdditiveOptions& options = {}, const Table& regressors = {});

  /// At any times behind the last. Shape: a row of regressors for each, as fit() had them. Units: of the values.
  Path forecast(std::span<const LocalTime> times, const Table& regressors = {}) const;

  /// What was at a time behind the last one: what it was off fades into later forecasts; trend and seasons stay as they
  /// are.
  void observe(LocalTime at, double value, std::span<const double> regressors = {});

  /// What makes up the forecast at a time: `trend`, `daily`, `weekly`, `yearly`, `holidays`, `regressors`, and
  /// `lately`, which is what was off at the end and fades. Units: of the values.
  std::vector<Part> explain(LocalTime at, std::span<const double> regressors = {}) const;
  /// How many regressors it was fitted with.
  std::size_t regressors() const { return regressor_means_.size(); }

  void write(ByteWriter& out) const;
  static Additive read(ByteReader& in);

 private:
  enum Term : std::uint8_t { trend, daily, weekly, yearly, holiday, regressor };
  void choose_terms(std::span<const LocalTime> times, const AdditiveOptions& options, const Table& regressors);
  void remember(std::span<const double> off);
  void fill(LocalTime at, std::span<const double> regressors, double* row) const;
  std::size_t width() const {
    return 2 + changes_.size() + 2 * (daily_ + weekly_ + yearly_) + 1 + regressor_means_.size();
  }
  std::size_t first(Term term) const;
  double days(LocalTime at) const;
  /// How much of what was off at the end is still felt, 0 to 1.
  double remembered(LocalTime at) const;
  double sum(std::span<const double> row, std::size_t from, std::size_t to) const;

  LocalTime start_{}, end_{};
  double span_days_ = 1;
  double scale_ = 1;  ///< Values are divided by it.
  std::uint32_t daily_ = 0, weekly_ = 0, yearly_ = 0;
  std::vector<double> changes_;  ///< As shares of the span.
  std::vector<double> regressor_means_, regressor_scales_;
  std::vector<double> weights_;
  Holidays holidays_;
  double deviation_ = 0, last_off_ = 0, memory_ = 0, step_seconds_ = 3600;
};

}  // namespace wattd::ml
