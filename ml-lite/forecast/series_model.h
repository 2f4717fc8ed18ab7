#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "ml-lite/forecast/classical.h"
#include "ml-lite/forecast/path.h"
#include "ml-lite/forecast/regressor_effect.h"
#include "ml-lite/forecast/rehearsal.h"
#include "ml-lite/load/forecaster.h"
#include "telemetry/error.h"

namespace wattd::ml {

/// A forecaster of any method, with bands that hold and what it was worth in the past: what is kept, shipped and asked.
/// Threads: one at a time.
class SeriesModel {
 public:
  static constexpr std::string_view kKind = "series";
  static constexpr std::uint8_t kVersion = 1;

  /// Fits a method, with bands from rehearsals at earlier origins. `automatic` is the load forecaster for nine weeks
  /// and more of hours, unless the week before was the better forecast in its rehearsal; for anything else the
  /// classical method that was best in those rehearsals. Errors: permanent, for series that the method cannot be fitted
  /// on.
  static Result<SeriesModel> fit(Method method, const SeriesInput& input);
  /// Fits the same method anew to the series so far, on the bands of before: quicker than fit(), worth it every day.
  /// Errors: as fit(); nothing has changed then.
  Result<void> refresh(const SeriesInput& input);

  /// The next step's value; NaN where it is missing. Shape: the step's regressors, where it was fitted with them.
  void observe(double value, std::span<const double> regressors = {});
  /// Shape: a step for each ahead; the load forecaster ends after a week. Of `ahead` a row for each step, as far as it
  /// is known; what is not is taken for the mean.
  std::vector<Step> forecast(std::uint32_t steps, const Table& ahead = {}) const;

  /// What makes up the forecast of a step ahead, to which the parts add up; nothing of sarima, lstm and seasonal-naive.
  std::vector<Part> explain(std::uint32_t step, const Table& ahead = {}) const;

  /// Never `automatic`: the one that was chosen.
  Method method() const { return method_; }
  /// The last step that it knows of, and how far apart steps are.
  LocalTime end() const { return end_; }
  std::chrono::seconds step() const { return step_; }
  /// What it has to be told of each step, in this order; nothing where it was fitted without or they were not worth it.
  const std::vector<std::string>& regressors() const { return regressors_; }
  /// Nothing of series that were too short for it.
  const std::optional<ForecastAccuracy>& accuracy() const { return accuracy_; }

  void write(ByteWriter& out) const;
  static SeriesModel read(ByteReader& in);

 private:
  /// By how much the deviations of a classical model are stretched up to so many steps ahead.
  struct Stretch {
    std::uint64_t up_to = 0;
    double eighty = 1.2816, ninety_five = 1.96;
  };
  const Stretch& stretch_at(std::size_t ahead) const;
  void stretch_by(const Rehearsal& rehearsal, std::size_t day);

  /// What a rehearsal was worth for the series as it came, regressors and all.
  using Worth = std::function<std::optional<ForecastAccuracy>(const Rehearsed&)>;

  static Result<SeriesModel> fit_rest(Method method, const SeriesInput& input, const Worth& worth);
  static Result<SeriesModel> fit_load(Method method, const SeriesInput& input, const Worth& worth);
  static Result<SeriesModel> fit_classical(Method method, const SeriesInput& input, std::span<const double> values,
                                           const std::optional<Rehearsal>& rehearsal, const Worth& worth);

  Method method_ = Method::seasonal_naive;
  LocalTime end_{};
  std::chrono::seconds step_{3600};
  std::variant<Classical, load::Forecaster> model_;
  std::optional<RegressorEffect> effect_;
  std::vector<std::string> regressors_;
  std::vector<Stretch> stretches_{{}};  ///< The last one is for all that lies behind it, too.
  std::optional<ForecastAccuracy> accuracy_;
};

}  // namespace wattd::ml
