#include <gtest/gtest.h>

#include "ml-lite/forecast/series_model.h"
#include "ml-lite/load/forecaster.h"
#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"
#include "ml-lite/random.h"
#include "tests/ml-lite/series.h"

namespace wattd::ml {
namespace {

constexpr LocalTime kMonday{std::chrono::seconds(1'770'595'200)};  // 2026-02-09 00:00
constexpr std::size_t kHours = 24 * 7 * 11;

/// Fitted once: it takes a second, and many with a sanitizer.
const load::Forecaster& fitted() {
  static const auto forecaster = *load::Forecaster::fit(kMonday, building_load(kHours, 0.1));
  return forecaster;
}

TEST(LoadForecasterTest, knows_the_week_better_than_the_week_before_and_its_bands_hold) {
  const auto values = building_load(kHours + 168, 0.1);
  const std::span actual(values.data() + kHours, 168), before(values.data() + kHours - 168, 168);
  std::vector<double> median, low, high;
  for (const auto& step : fitted().forecast(168)) {
    median.push_back(step.median), low.push_back(step.low80), high.push_back(step.high80);
    EXPECT_LE(step.low95, step.low80);
    EXPECT_LE(step.low80, step.high80);
    EXPECT_LE(step.high80, step.high95);
    EXPECT_GE(step.low95, 0);
  }
  EXPECT_LT(mean_absolute_error(actual, median), 0.85 * mean_absolute_error(actual, before));
  EXPECT_NEAR(coverage(actual, low, high), 0.8, 0.12);
}

TEST(LoadForecasterTest, forecasts_from_a_file_as_it_did_before) {
  auto kept = decode<load::Forecaster>(encode(fitted()));
  ASSERT_TRUE(kept) << kept.error().message;
  auto original = fitted();
  // And goes on alike when more hours come.
  for (int hour = 0; hour < 30; ++hour) {
    const auto a = original.forecast(168), b = kept->forecast(168);
    for (std::size_t h = 0; h < a.size(); ++h) ASSERT_NEAR(a[h].median, b[h].median, 1e-6) << hour << " + " << h;
    original.observe(50 + hour), kept->observe(50 + hour);
  }
  EXPECT_EQ(original.end(), kMonday + std::chrono::hours(kHours + 29));
  EXPECT_EQ(kept->end(), original.end());
}

TEST(LoadForecasterTest, nothing_behind_an_origin_changes_what_was_forecast_there) {
  // What a hole in the middle hides, it hides: but the last hours count as they are.
  auto values = building_load(kHours, 0.1);
  for (std::size_t i = 500; i < 560; ++i) values[i] = std::nan("");
  const auto holed = load::Forecaster::fit(kMonday, values);
  ASSERT_TRUE(holed);
  const auto a = fitted().forecast(24), b = holed->forecast(24);
  for (std::size_t h = 0; h < 24; ++h) EXPECT_NEAR(a[h].median, b[h].median, 12) << h;
}

TEST(LoadForecasterTest, a_glitch_of_a_register_does_not_become_the_forecast) {
  auto values = building_load(kHours, 0.1);
  values[kHours - 1000] = 4294967295;
  const auto glitched = load::Forecaster::fit(kMonday, values, {}, load::Parts::ridge),
             clean = load::Forecaster::fit(kMonday, building_load(kHours, 0.1), {}, load::Parts::ridge);
  const auto a = clean->forecast(48), b = glitched->forecast(48);
  for (std::size_t h = 0; h < 48; ++h) EXPECT_NEAR(a[h].median, b[h].median, 15) << h;
}

TEST(LoadForecasterTest, what_was_never_below_zero_may_come_to_be_and_is_remembered_as_it_was) {
  auto forecaster = *load::Forecaster::fit(kMonday, building_load(kHours, 0.1), {}, load::Parts::ridge);
  auto kept = *decode<load::Forecaster>(encode(forecaster));
  for (int hour = 0; hour < 2000; ++hour) forecaster.observe(-3), kept.observe(-3);
  const auto again = *decode<load::Forecaster>(encode(kept));
  const auto a = forecaster.forecast(24), b = kept.forecast(24), c = again.forecast(24);
  for (std::size_t h = 0; h < 24; ++h) {
    EXPECT_NEAR(a[h].median, b[h].median, 1e-6);
    EXPECT_NEAR(a[h].median, c[h].median, 1e-6);
  }
}

TEST(LoadForecasterTest, a_refresh_is_a_fit_on_the_bands_of_before) {
  const auto values = building_load(kHours, 0.1);
  const std::span all(values), part = all.first(kHours - 100);
  auto refreshed = *load::Forecaster::fit(kMonday, part, {}, load::Parts::ridge);
  const auto before = refreshed.forecast(168);
  ASSERT_TRUE(refreshed.refresh(kMonday, all));
  const auto fresh = load::Forecaster::fit(kMonday, all, {}, load::Parts::ridge);
  EXPECT_EQ(refreshed.end(), fresh->end());
  const auto a = refreshed.forecast(168), b = fresh->forecast(168);
  for (std::size_t h = 0; h < 168; ++h) EXPECT_NEAR(a[h].median, b[h].median, 0.05 * b[h].median) << h;
  EXPECT_NEAR(a[0].high80 - a[0].low80, before[4].high80 - before[4].low80, 5);
  // Nothing changes where it cannot be done.
  EXPECT_FALSE(refreshed.refresh(kMonday, all.first(1000)));
  EXPECT_EQ(refreshed.forecast(1)[0].median, a[0].median);
}

TEST(LoadForecasterTest, parts_add_up_and_a_rehearsal_tells_what_it_is_worth) {
  const auto forecaster = load::Forecaster::fit(kMonday, building_load(kHours, 0.1), {}, load::Parts::ridge);
  const auto steps = forecaster->forecast(48);
  for (std::size_t h = 1; h <= 48; ++h) {
    double sum = 0;
    for (const auto& part : forecaster->explain(h)) sum += part.value;
    EXPECT_NEAR(sum, steps[h - 1].median, 1e-9);
  }
  const auto values = building_load(kHours, 0.1);
  const auto accuracy = SeriesModel::fit(Method::linear, {.first = kMonday, .values = values})->accuracy();
  ASSERT_TRUE(accuracy);
  EXPECT_LT(accuracy->mase, accuracy->naive);
  EXPECT_NEAR(accuracy->naive, 1, 0.3);
}

TEST(LoadForecasterTest, what_cannot_be_learnt_from_is_refused_with_a_reason) {
  EXPECT_EQ(load::Forecaster::fit(kMonday, building_load(1000)).error().message,
            "1000 hours are too few: the forecaster needs 1344, about nine weeks");
  std::vector<double> holes(kHours, std::nan(""));
  EXPECT_NE(load::Forecaster::fit(kMonday, holes).error().message.find("are missing, at most a third may be"),
            std::string::npos);
}

TEST(SeriesModelTest, every_method_forecasts_a_short_series_with_bands) {
  const auto values = building_load(24 * 28);
  for (const auto method :
       {Method::automatic, Method::seasonal_naive, Method::holt_winters, Method::sarima, Method::additive}) {
    const auto model = SeriesModel::fit(method, {.first = kMonday, .values = values});
    ASSERT_TRUE(model) << to_string(method) << ": " << model.error().message;
    const auto steps = model->forecast(24);
    ASSERT_EQ(steps.size(), 24u);
    for (const auto& step : steps)
      EXPECT_TRUE(step.low95 <= step.low80 && step.low80 <= step.median && step.median <= step.high80)
          << to_string(method);
  }
}

TEST(SeriesModelTest, what_repeats_itself_is_left_to_the_naive_forecast_and_days_are_a_series_too) {
  std::vector<double> values;
  for (int day = 0; day < 60; ++day) values.push_back(day % 7 < 5 ? 100 : 20);
  const auto model =
      SeriesModel::fit(Method::automatic, {.first = kMonday, .step = std::chrono::hours(24), .values = values});
  ASSERT_TRUE(model);
  const auto steps = model->forecast(7);
  for (int day = 0; day < 7; ++day)
    EXPECT_NEAR(steps[static_cast<std::size_t>(day)].median, (60 + day) % 7 < 5 ? 100 : 20, 3) << day;
}

TEST(SeriesModelTest, where_the_week_before_is_the_better_forecast_it_is_taken) {
  // A schedule that never changes, and a level that is another one each week: nothing to learn but last week.
  std::vector<double> values;
  for (int hour = 0; hour < 24 * 7 * 12; ++hour) values.push_back(50 + 40 * (hour % 168 * 7919 % 97) / 97.0);
  const auto model = SeriesModel::fit(Method::automatic, {.first = kMonday, .values = values});
  ASSERT_TRUE(model);
  EXPECT_EQ(model->method(), Method::seasonal_naive);
  const auto steps = model->forecast(168);
  for (std::size_t h = 0; h < 168; ++h) EXPECT_NEAR(steps[h].median, values[h], 1e-9);
}

TEST(SeriesModelTest, every_method_is_kept_goes_on_and_is_refreshed) {
  const auto values = building_load(24 * 28, 0.1);
  const SeriesInput input{.first = kMonday, .values = std::span(values).first(24 * 26)};
  for (const auto method :
       {Method::seasonal_naive, Method::holt_winters, Method::sarima, Method::additive, Method::lstm}) {
    auto model = SeriesModel::fit(method, input);
    ASSERT_TRUE(model) << to_string(method) << ": " << model.error().message;
    auto read = decode<SeriesModel>(encode(*model));
    ASSERT_TRUE(read) << to_string(method);
    EXPECT_EQ(encode(*read), encode(*model));
    for (int hour = 0; hour < 30; ++hour) {
      const double value = hour == 7 ? std::nan("") : values[static_cast<std::size_t>(24 * 26 + hour)];
      model->observe(value), read->observe(value);
    }
    const auto a = model->forecast(24), b = read->forecast(24);
    const double band = a[3].high80 - a[3].low80;
    for (std::size_t h = 0; h < 24; ++h) EXPECT_NEAR(a[h].median, b[h].median, 1e-4 * (1 + std::abs(a[h].median)));
    // Of 26 days there are no three weeks that a network could be rehearsed on.
    ASSERT_EQ(read->accuracy().has_value(), method != Method::lstm) << to_string(method);
    if (read->accuracy()) {
      EXPECT_LT(read->accuracy()->mase, 4) << to_string(method);  // A building's weekends are hard for some.
    }
    double sum = 0;
    for (const auto& part : read->explain(3)) sum += part.value;
    if (!read->explain(3).empty()) {
      EXPECT_NEAR(sum, b[2].median, 1e-9) << to_string(method);
    }
    ASSERT_TRUE(read->refresh({.first = kMonday, .values = values}));
    EXPECT_EQ(read->end(), kMonday + std::chrono::hours(24 * 28 - 1));
    EXPECT_EQ(read->method(), method);
    EXPECT_NEAR(read->forecast(4)[3].high80 - read->forecast(4)[3].low80, band, band) << to_string(method);
  }
}

TEST(SeriesModelTest, gaps_take_the_place_of_the_same_phase) {
  const double nan = std::nan("");
  EXPECT_EQ(fill_gaps(std::vector<double>{1, 2, nan, 4, 3, 6}, 2), (std::vector<double>{1, 2, 2, 4, 3, 6}));
  EXPECT_EQ(fill_gaps(std::vector<double>{nan, nan, 5}, 7), (std::vector<double>{5, 5, 5}));
}

TEST(SeriesModelTest, regressors_that_are_known_ahead_are_used_and_those_that_say_nothing_are_not) {
  constexpr std::size_t kKnown = 24 * 7 * 10;
  Random random(8);
  std::vector<double> values;
  Table sun(1), noise(1), ahead(1);
  for (std::size_t hour = 0; hour < kKnown + 24; ++hour) {
    // Clouds come and go; below 20 nothing is made of the sun.
    const double row[] = {100 * random.uniform()}, other[] = {random.normal()};
    sun.append(row), noise.append(other);
    if (hour >= kKnown) ahead.append(row);
    values.push_back(300 + 50 * std::sin(static_cast<double>(hour) / 12 * 3.14159265) - 2 * std::max(0.0, row[0] - 20) +
                     random.normal());
  }
  const auto known = std::span(values).first(kKnown);
  for (const auto method : {Method::automatic, Method::linear, Method::holt_winters, Method::additive}) {
    const auto model =
        SeriesModel::fit(method, {.first = kMonday, .values = known, .regressors = sun, .regressor_names = {"sun"}});
    ASSERT_TRUE(model) << model.error().message;
    EXPECT_EQ(model->regressors(), std::vector<std::string>{"sun"});
    // What it is worth is told of the series as it came, which the week before knows nothing of.
    EXPECT_LT(model->accuracy()->mase, 0.5 * model->accuracy()->naive) << to_string(method);
    EXPECT_LT(model->accuracy()->smape, 15) << to_string(method);
    const auto read = decode<SeriesModel>(encode(*model));
    ASSERT_TRUE(read);
    const auto steps = read->forecast(24, ahead), blind = read->forecast(24);
    double off = 0, blindly = 0;
    for (std::size_t h = 0; h < 24; ++h) {
      off += std::abs(steps[h].median - values[kKnown + h]) / 24;
      blindly += std::abs(blind[h].median - values[kKnown + h]) / 24;
    }
    EXPECT_LT(off, 15) << to_string(method);
    EXPECT_GT(blindly, 2 * off) << to_string(method);
  }
  const auto model = SeriesModel::fit(
      Method::linear, {.first = kMonday, .values = known, .regressors = noise, .regressor_names = {"noise"}});
  EXPECT_TRUE(model->regressors().empty());
}

TEST(SeriesModelTest, a_step_whose_weather_is_missing_teaches_nothing_and_is_forecast_with_a_wider_band) {
  Random random(8);
  std::vector<double> values;
  Table sun(1), ahead(1);
  constexpr std::size_t kKnown = 24 * 7 * 6;
  for (std::size_t hour = 0; hour < kKnown + 3; ++hour) {
    const double row[] = {100 * random.uniform()};
    (hour < kKnown ? sun : ahead).append(row);
    values.push_back(300 + 50 * std::sin(static_cast<double>(hour) / 12 * 3.14159265) - 2 * row[0] + random.normal());
  }
  auto model = *SeriesModel::fit(
      Method::holt_winters,
      {.first = kMonday, .values = std::span(values).first(kKnown), .regressors = sun, .regressor_names = {"sun"}});
  ASSERT_FALSE(model.regressors().empty());
  const auto blind = model.forecast(2), seeing = model.forecast(2, ahead);
  EXPECT_GT(blind[0].high80 - blind[0].low80, 5 * (seeing[0].high80 - seeing[0].low80));
  const auto before = model.forecast(2).back();
  model.observe(values[kKnown] - 5000);  // Nobody knows what the sun made of it.
  EXPECT_NEAR(model.forecast(1)[0].median, before.median, 1e-9);
}

TEST(SeriesModelTest, what_was_filled_in_counts_for_nothing_and_a_drift_is_an_error) {
  auto values = building_load(24 * 7 * 12, 0.1);
  const auto whole = SeriesModel::fit(Method::seasonal_naive, {.first = kMonday, .values = values});
  for (std::size_t day = 60; day < 80; ++day) {
    for (std::size_t hour = 0; hour < 24; ++hour) values[24 * day + hour] = std::nan("");
  }
  const auto gaps = SeriesModel::fit(Method::seasonal_naive, {.first = kMonday, .values = values});
  EXPECT_NEAR(gaps->accuracy()->rmse, whole->accuracy()->rmse, 0.4 * whole->accuracy()->rmse);
  std::vector<double> drift;
  for (int hour = 0; hour < 24 * 28; ++hour) drift.push_back(1000 + hour);
  const auto model = SeriesModel::fit(Method::seasonal_naive, {.first = kMonday, .values = drift});
  EXPECT_GT(model->forecast(1)[0].high80, 1000 + 24 * 28 - 1);
}

TEST(SeriesModelTest, an_additive_model_that_was_chosen_does_without_regressors_after_a_refresh_too) {
  Random random(12);
  std::vector<double> values;
  Table noise(1);
  for (int day = 0; day < 300; ++day) {
    const double row[] = {random.normal()};
    noise.append(row), values.push_back(100 + day + 3 * random.normal());
  }
  auto part = SeriesInput{.first = kMonday,
                          .step = std::chrono::hours(24),
                          .values = std::span(values).first(250),
                          .regressors = noise,
                          .regressor_names = {"noise"}};
  auto model = *SeriesModel::fit(Method::automatic, part);
  EXPECT_TRUE(model.regressors().empty());
  part.values = values;
  ASSERT_TRUE(model.refresh(part));
  EXPECT_TRUE(decode<SeriesModel>(encode(model)));
}

TEST(SeriesModelTest, a_glitch_is_missing_and_not_the_next_level) {
  auto values = building_load(24 * 28, 0.1);
  const auto clean = SeriesModel::fit(Method::holt_winters, {.first = kMonday, .values = values});
  values[24 * 27] = 4294967295;
  const auto glitched = SeriesModel::fit(Method::holt_winters, {.first = kMonday, .values = values});
  EXPECT_NEAR(glitched->forecast(24)[23].median, clean->forecast(24)[23].median, 10);
  const std::vector<double> outside{1, 2, 3, 2, 1, 900};
  EXPECT_TRUE(std::isfinite(believable(outside)[0]));
}

TEST(SeriesModelTest, names_are_found_again) {
  EXPECT_EQ(method_of("holt-winters"), Method::holt_winters);
  EXPECT_FALSE(method_of("prophet"));
  EXPECT_EQ(method_names(), "auto, load, linear, seasonal-naive, holt-winters, sarima, additive, lstm");
}

}  // namespace
}  // namespace wattd::ml
