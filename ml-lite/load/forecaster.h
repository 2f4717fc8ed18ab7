#pragma once
#include <array>
#include <memory>
#include <optional>

#include "ml-lite/forecast/path.h"
#include "ml-lite/forecast/rehearsal.h"
#include "ml-lite/load/bands.h"
#include "ml-lite/load/correction.h"
#include "ml-lite/load/expert_line.h"
#include "ml-lite/load/lag_ridge.h"
#include "ml-lite/load/state.h"
#include "telemetry/error.h"

namespace wattd::ml::load {

/// What of a model is fitted: the straight lines alone are quick, and two to seven per cent worse.
enum class Parts : std::uint8_t { ridge, all };

/// One model of everything up to an hour: the parts and how they are put together.
struct Model {
  Parts parts = Parts::all;
  LagRidge ridge;
  ExpertLine experts;
  Correction correction;
  NextHour next_hour;

  static Result<Model> fit(const State& state, const LagSums& sums, std::size_t end, Parts parts);
  /// Of target s, `h` hours before (1 to 168): a third each of ridge, experts and the corrected ridge; the next hour
  /// has a model of its own. Units: of State::z.
  double forecast(const State& state, std::size_t s, std::size_t h) const;
};

/// The load of the next hour, day and week of a plant, a building or a home, hour by hour, with bands that hold.
/// No parameter and no choice: medians of three kinds of models, with bands from a rehearsal of the last eight weeks.
/// Threads: one at a time; observe() and forecast() any number of times after a fit, which is to be repeated every few
/// days, with a refresh() on those between. Source: docs/models/load.md.
class Forecaster {
 public:
  static constexpr std::string_view kKind = "load-forecaster";
  static constexpr std::uint8_t kVersion = 1;
  static constexpr std::size_t kRehearsal = 56 * 24;                     ///< Hours.
  static constexpr std::size_t kLeast = kWarm + kRehearsal / 4 + kWeek;  ///< Hours of history that it takes.

  /// Shape: an hour a value from `first` on; what is missing is NaN, at most a third. `rehearsed`, where it is wanted:
  /// what was said of the rehearsal's hours, up to a week ahead of each.
  /// Errors: permanent, for a series too short, constant or with too many gaps.
  static Result<Forecaster> fit(LocalTime first, std::span<const double> values, const Holidays& holidays = {},
                                Parts parts = Parts::all, Rehearsed* rehearsed = nullptr);
  /// Fits the models anew on the series so far, which takes half as long as fit(); the bands stay as they are. Worth it
  /// every day. Shape and errors: as fit(), whose holidays and parts hold; on an error nothing has changed.
  Result<void> refresh(LocalTime first, std::span<const double> values);
  /// The next hour's value; the models stay as they are, and so does the memory that they take.
  void observe(double value);
  /// Shape: a step for each hour ahead, 1 to 168.
  std::vector<Step> forecast(std::size_t hours) const;
  /// What makes up the median of an hour ahead (1 to 168), to which the parts add up: what is usual at that hour, what
  /// the last hours and days move it by (the straight lines), and what trees and experts add to those.
  std::vector<Part> explain(std::size_t h) const;
  /// The last hour that it knows of.
  LocalTime end() const { return state_->time(state_->size() - 1); }

  void write(ByteWriter& out) const;
  static Forecaster read(ByteReader& in);

 private:
  /// Errors: permanent, for a series that cannot be learnt from.
  static Result<State> state_of(LocalTime first, std::span<const double> values, const Scale& scale,
                                const Holidays& holidays);

  std::optional<State> state_;
  Model model_;
  Bands bands_;
};

}  // namespace wattd::ml::load
