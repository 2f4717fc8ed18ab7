#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ml-lite/features/calendar.h"
#include "ml-lite/forecast/path.h"
#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

struct LstmOptions {
  std::uint32_t hidden = 16;
  std::uint32_t day = 24;  ///< Steps.
  std::uint32_t window = 48;
  std::uint32_t batch = 16;
  std::uint32_t updates = 600;
  Holidays holidays;
  std::uint64_t seed = 1;
};

/// A small recurrent network that forecasts a step from the one before, yesterday, last week and the calendar, and
/// walks further on its own forecasts; with a straight line beside it. Costs a thousand times what LagRegression does
/// and has to win against it before it is used. Threads: any, once fitted. Source: Hochreiter, Schmidhuber 1997;
/// Kingma, Ba 2015 (Adam).
class Lstm {
 public:
  static constexpr std::string_view kKind = "lstm";
  static constexpr std::uint8_t kVersion = 1;

  /// Shape: values at equal distances of `step` up to `end`, none missing, at least three weeks.
  /// Errors: permanent, for a series too short, constant or with missing values.
  static Result<Lstm> fit(LocalTime end, std::chrono::seconds step, std::span<const double> values,
                          const LstmOptions& options = {});

  Path forecast(std::uint32_t steps) const;
  /// The next step's value; a missing one (NaN) is taken for what was forecast.
  void observe(double value);

  void write(ByteWriter& out) const;
  static Lstm read(ByteReader& in);

 private:
  std::uint32_t hidden_ = 0, day_ = 24;
  LocalTime end_{};
  std::chrono::seconds step_{3600};
  double centre_ = 0, scale_ = 1;
  std::vector<double> weights_;
  std::vector<double> recent_;      ///< The last two weeks, standardised.
  std::vector<double> deviations_;  ///< Of a week ahead, step by step, in units of `scale_`.
  Holidays holidays_;
};

}  // namespace wattd::ml
