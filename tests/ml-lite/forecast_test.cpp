#include <gtest/gtest.h>

#include "ml-lite/forecast/additive.h"
#include "ml-lite/forecast/lstm.h"
#include "ml-lite/forecast/sarima.h"
#include "ml-lite/forecast/smoothing.h"
#include "ml-lite/measures.h"
#include "ml-lite/seasonal_trend.h"
#include "tests/ml-lite/series.h"

namespace wattd::ml {
namespace {

using std::chrono::seconds;

constexpr LocalTime kMonday{seconds(1'770'595'200)};  // 2026-02-09 00:00

/// Mean absolute error of a forecast of the last week, against that of the week before.
template <class Forecast>
double against_last_week(const std::vector<double>& values, Forecast forecast) {
  const std::span known(values.data(), values.size() - 168), actual(values.data() + values.size() - 168, 168);
  const auto path = forecast(known);
  return mean_absolute_error(actual, path.mean) / mean_absolute_error(actual, known.last(168));
}

TEST(SarimaTest, likelihoods_are_those_of_the_reference) {
  // statsmodels 0.13, SARIMAX.loglike at these parameters.
  const auto values = reference_series(60);
  const SarimaOrder seasonal{.p = 1, .d = 0, .q = 1, .seasonal_p = 1, .seasonal_d = 1, .seasonal_q = 1, .season = 4};
  const double parameters[] = {0.4, 0.3, 0.2, -0.5, 1.5};
  EXPECT_NEAR(Sarima::log_likelihood_of(values, {.order = seasonal}, parameters), -80.3567675168938, 1e-7);
  EXPECT_NEAR(Sarima::log_likelihood_of(values, {.order = seasonal, .start_variance = 1e6}, parameters),
              -80.35675939370385, 1e-6);
  const SarimaOrder plain{.p = 2, .d = 1, .q = 2, .seasonal_p = 0, .seasonal_d = 0, .seasonal_q = 0, .season = 4};
  const double others[] = {0.5, -0.2, 0.3, 0.1, 2.0};
  EXPECT_NEAR(Sarima::log_likelihood_of(values, {.order = plain}, others), -222.3706062177116, 1e-7);
}

TEST(SarimaTest, a_fit_is_at_least_as_likely_as_any_guess_and_forecasts_the_season) {
  const auto values = reference_series(60);
  const SarimaOrder order{.p = 1, .d = 0, .q = 1, .seasonal_p = 1, .seasonal_d = 1, .seasonal_q = 1, .season = 4};
  const auto model = Sarima::fit(values, {.order = order});
  ASSERT_TRUE(model);
  const double guess[] = {0.4, 0.3, 0.2, -0.5, 1.5};
  EXPECT_GT(model->log_likelihood(), Sarima::log_likelihood_of(values, {.order = order}, guess));
  const auto path = model->forecast(4);
  EXPECT_GT(path.mean[1], path.mean[0]);
  EXPECT_LT(path.mean[3], path.mean[2]);
  EXPECT_LE(path.deviation[0], path.deviation[3]);
}

TEST(SarimaTest, values_that_come_later_are_as_good_as_values_that_were_there) {
  const auto values = reference_series(70);
  const SarimaOrder order{.season = 4};
  const auto whole = Sarima::fit(values, {.order = order});
  auto told = *whole;
  // The same parameters on a shorter past would need a fit of their own: told values are compared step by step instead.
  const auto ahead = told.forecast(3).mean;
  told.observe(ahead[0]);
  EXPECT_NEAR(told.forecast(2).mean[0], ahead[1], 1e-9);
  told.observe(std::nan(""));
  EXPECT_NEAR(told.forecast(1).mean[0], ahead[2], 1e-9);
}

TEST(SarimaTest, what_cannot_be_fitted_is_refused_with_a_reason) {
  EXPECT_EQ(Sarima::fit(reference_series(20)).error().message, "20 values are too few for lags of 50");
  EXPECT_NE(Sarima::fit(std::vector<double>(200, 1.0)).error().message.find("repeats itself exactly"),
            std::string::npos);
}

TEST(SmoothingTest, follows_trend_and_season) {
  EXPECT_LT(against_last_week(building_load(24 * 7 * 5),
                              [](auto known) { return Smoothing::fit(known, 168)->forecast(168); }),
            0.85);
}

TEST(SmoothingTest, a_season_that_grows_with_its_level_is_multiplied) {
  std::vector<double> values;
  for (int i = 0; i < 120; ++i) values.push_back((100 + 5 * i) * (1 + 0.3 * std::sin(i * std::numbers::pi / 6)));
  const auto model = Smoothing::fit(values, 12);
  ASSERT_TRUE(model);
  EXPECT_EQ(model->form().season, Season::multiplicative);
  EXPECT_TRUE(model->form().trend);
  EXPECT_NEAR(model->forecast(1).mean[0], 700, 25);
}

TEST(AdditiveTest, parts_add_up_to_the_forecast_and_holidays_are_one_of_them) {
  std::vector<LocalTime> times;
  auto values = building_load(24 * 70);
  Holidays holidays;
  for (std::size_t i = 0; i < values.size(); ++i) times.push_back(kMonday + seconds(3600) * static_cast<int>(i));
  for (const int day : {9, 31, 52, 66}) {
    for (int hour = 0; hour < 24; ++hour) values[static_cast<std::size_t>(day * 24 + hour)] = 45;
    holidays.insert(std::chrono::floor<std::chrono::days>(times[static_cast<std::size_t>(day * 24)]));
  }
  const auto noon = times.back() + seconds(13 * 3600);
  holidays.insert(std::chrono::floor<std::chrono::days>(noon));
  const auto model = Additive::fit(times, values, {.residual_memory = false, .holidays = holidays});
  ASSERT_TRUE(model);
  const auto parts = model->explain(noon);
  double sum = 0;
  for (const auto& part : parts) sum += part.value;
  EXPECT_NEAR(sum, model->forecast(std::vector{noon}).mean[0], 1e-9);
  const auto named = [&](std::string_view name) { return std::ranges::find(parts, name, &Part::name)->value; };
  EXPECT_LT(named("holidays"), -10);
  EXPECT_EQ(named("yearly"), 0);  // Ten weeks know nothing of a year.
}

TEST(AdditiveTest, a_trend_that_turned_is_followed_and_not_the_mean_of_both) {
  std::vector<LocalTime> times;
  std::vector<double> values;
  for (int day = 0; day < 200; ++day) {
    times.push_back(kMonday + std::chrono::days(day));
    values.push_back(day < 100 ? 100 + day : 200 - 2 * (day - 100));
  }
  const auto model = Additive::fit(times, values);
  const auto path = model->forecast(std::vector<LocalTime>{times.back() + std::chrono::days(5)});
  EXPECT_NEAR(path.mean[0], 200 - 2 * 104, 15);
}

TEST(AdditiveTest, a_regressor_explains_what_the_calendar_cannot) {
  std::vector<LocalTime> times;
  std::vector<double> values;
  Table sun(1);
  for (int hour = 0; hour < 1000; ++hour) {
    times.push_back(kMonday + std::chrono::hours(hour));
    const double row[] = {static_cast<double>(hour * 37 % 101)};
    sun.append(row);
    values.push_back(500 - 2 * row[0]);
  }
  const auto model = Additive::fit(times, values, {}, sun);
  Table bright(1);
  const double row[] = {90};
  bright.append(row);
  EXPECT_NEAR(model->forecast(std::vector<LocalTime>{times.back() + std::chrono::hours(1)}, bright).mean[0], 320, 10);
}

TEST(LstmTest, learns_a_week_and_is_the_same_for_a_seed) {
  const auto values = building_load(24 * 7 * 8);
  const auto end = kMonday + std::chrono::hours(values.size() - 169);
  const auto fit = [&](std::span<const double> known) {
    return *Lstm::fit(end, seconds(3600), known, {.updates = 150});
  };
  EXPECT_LT(against_last_week(values, [&](auto known) { return fit(known).forecast(168); }), 1.0);
  const std::span known(values.data(), values.size() - 168);
  EXPECT_EQ(fit(known).forecast(24).mean, fit(known).forecast(24).mean);
}

TEST(SeasonalTrendTest, is_the_published_procedure_to_the_last_digit) {
  // statsmodels 0.13, STL(robust), seasonal window 7, no jumps.
  auto values = reference_series(48);
  values[20] += 15;
  const auto parts = take_apart(values, {.period = 4, .seasonal_window = 7});
  ASSERT_TRUE(parts);
  EXPECT_NEAR(parts->season[0], -0.53339748, 1e-8);
  EXPECT_NEAR(parts->season[20], 0.32899726, 1e-8);
  EXPECT_NEAR(parts->season[47], -2.95753246, 1e-8);
  EXPECT_NEAR(parts->trend[0], 10.65576788, 1e-8);
  EXPECT_NEAR(parts->trend[20], 11.98139484, 1e-8);
  EXPECT_NEAR(parts->trend[47], 13.73314333, 1e-8);
}

TEST(SeasonalTrendTest, a_series_shorter_than_two_periods_is_refused) {
  EXPECT_EQ(take_apart(reference_series(7), {.period = 4}).error().message, "7 values are fewer than two periods of 4");
}

}  // namespace
}  // namespace wattd::ml
