#include <gtest/gtest.h>

#include <cmath>

#include "ml-lite/failure/maintenance_model.h"
#include "ml-lite/features/engineering.h"
#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"
#include "ml-lite/random.h"
#include "ml-lite/training_rows.h"

namespace wattd::ml {
namespace {

/// Units whose one sensor rises as they wear, beside one that is noise and one that never changes.
UnitHistories pumps(std::uint32_t units, std::uint64_t seed) {
  Random random(seed);
  UnitHistories histories{Table(3), {}, {}};
  for (std::uint32_t unit = 0; unit < units; ++unit) {
    const auto life = 60 + random.below(120);
    for (std::uint32_t age = 1; age <= life; ++age) {
      const double worn = std::pow(age / static_cast<double>(life), 3);
      const double row[] = {10 + 5 * worn + 0.3 * random.normal(), random.normal(), 7};
      histories.sensors.append(row);
      histories.unit.push_back(unit), histories.age.push_back(age);
    }
  }
  return histories;
}

std::vector<double> truth_of(const UnitHistories& histories, double cap) {
  std::vector<double> life(histories.age.size());
  const auto units = histories.units();
  for (const auto& [from, to] : *units) {
    for (auto row = from; row < to; ++row) life[row] = std::min(cap, histories.age[to - 1] - histories.age[row]);
  }
  return life;
}

const RemainingLife& fitted() {
  static const auto model = *RemainingLife::fit(pumps(30, 1), {.cap = 60});
  return model;
}

TEST(RemainingLifeTest, tells_how_long_units_last_that_it_has_not_seen_and_its_interval_holds) {
  const auto unseen = pumps(10, 2);
  const auto lives = fitted().predict(unseen);
  ASSERT_TRUE(lives);
  const auto truth = truth_of(unseen, 60);
  std::vector<double> expected, low, high;
  for (const auto& life : *lives) expected.push_back(life.expected), low.push_back(life.low), high.push_back(life.high);
  EXPECT_LT(root_mean_squared_error(truth, expected), 0.6 * deviation(truth));
  EXPECT_NEAR(coverage(truth, low, high), 0.9, 0.08);
}

TEST(RemainingLifeTest, what_comes_later_changes_nothing_that_was_said) {
  const auto whole = pumps(1, 5);
  UnitHistories cut{Table(3), {}, {}};
  for (std::size_t row = 0; row < 40; ++row)
    cut.sensors.append(whole.sensors.row(row)), cut.unit.push_back(0), cut.age.push_back(whole.age[row]);
  const auto of_whole = *fitted().predict(whole), of_cut = *fitted().predict(cut);
  for (std::size_t row = 0; row < 40; ++row) EXPECT_EQ(of_whole[row].expected, of_cut[row].expected) << row;
}

TEST(RemainingLifeTest, the_sensor_that_wears_is_what_shortens_the_life) {
  const auto unit = pumps(1, 5);
  const auto shares = fitted().explain(unit);
  ASSERT_TRUE(shares);
  ASSERT_EQ(shares->rows(), unit.age.size());
  const auto last = shares->row(shares->rows() - 1);
  EXPECT_LT(last[0], -5);
  EXPECT_LT(std::abs(last[1]), std::abs(last[0]) / 2);
  EXPECT_EQ(last[2], 0);
}

TEST(RemainingLifeTest, comes_back_from_its_file) {
  const auto model = decode<RemainingLife>(encode(fitted()));
  ASSERT_TRUE(model);
  const auto unit = pumps(1, 9);
  EXPECT_EQ((*model->predict(unit))[30].high, (*fitted().predict(unit))[30].high);
}

TEST(RemainingLifeTest, histories_out_of_order_are_refused_and_named) {
  auto histories = pumps(3, 1);
  histories.unit.back() = 0;
  EXPECT_EQ(fitted().predict(histories).error().message, "the rows of unit 0 do not stand together");
  histories = pumps(3, 1);
  histories.age[5] = 1;
  EXPECT_EQ(fitted().predict(histories).error().message, "the age of unit 0 does not rise in row 6");
  EXPECT_EQ(RemainingLife::fit(pumps(9, 1)).error().message, "9 units that failed, at least 10 are needed");
}

TEST(RecipeTest, units_make_what_belongs_together_and_grades_keep_their_order) {
  const std::vector<Column> columns{{"Type", {NAN, NAN, NAN}, {"M", "L", "H"}}, {"air [K]", {300, 301, 299}, {}},
                                    {"process [K]", {310, 312, 309}, {}},       {"speed [rpm]", {1500, 1400, 1600}, {}},
                                    {"torque [Nm]", {40, 50, 30}, {}},          {"wear [min]", {10, 20, 35}, {}}};
  const auto recipe = Recipe::learn(columns, {.limits = {{"strain", "Type", {{"L", 100}, {"M", 200}, {"H", 300}}}},
                                              .bands = {{"power", 4000, 6000}}});
  ASSERT_TRUE(recipe) << recipe.error().message;
  EXPECT_EQ(recipe->names(), (std::vector<std::string>{"Type", "air [K]", "process [K]", "speed [rpm]", "torque [Nm]",
                                                       "wear [min]", "power", "strain", "temperature difference",
                                                       "strain of its limit", "power off its middle"}));
  const auto rows = *recipe->rows(columns);
  EXPECT_EQ(rows.at(0, 0), 1);
  EXPECT_EQ(rows.at(2, 0), 2);
  EXPECT_NEAR(rows.at(0, 6), 40 * 1500 * 2 * M_PI / 60, 1e-9);
  EXPECT_EQ(rows.at(1, 7), 1000);
  EXPECT_EQ(rows.at(1, 8), 11);
  EXPECT_EQ(rows.at(1, 9), 10);
  EXPECT_NEAR(rows.at(0, 10), 40 * 1500 * 2 * M_PI / 60 - 5000, 1e-9);
}

TEST(RecipeTest, what_tells_the_target_or_counts_rows_is_left_out_and_said) {
  Column number{"row", {}, {}}, flag{"flag", {}, {}}, value{"value", {}, {}}, name{"name", {}, {}};
  std::vector<double> target;
  for (int i = 0; i < 100; ++i) {
    number.numbers.push_back(i), flag.numbers.push_back(i % 10 == 0), value.numbers.push_back(i * 7 % 13),
        name.numbers.push_back(NAN);
    name.texts.push_back("unit " + std::to_string(i));
    target.push_back(i % 10 == 0);
  }
  const auto recipe = Recipe::learn(std::vector{number, flag, value, name}, {}, target);
  EXPECT_EQ(recipe->names(), std::vector<std::string>{"value"});
  EXPECT_EQ(recipe->left_out(),
            (std::vector<std::string>{"row: counts the rows",
                                      "flag: is set only where the target is: known when it is too late",
                                      "name: a text with more than 20 classes"}));
}

TEST(RecipeTest, classes_are_told_against_one_of_them_and_new_ones_are_none) {
  const std::vector<Column> seen{{"state", {NAN, NAN, NAN}, {"Post", "Pre", "Peri"}}, {"x", {1, 2, 4}, {}}};
  const auto recipe = *Recipe::learn(seen, {.reference = {{"state", "Pre"}}});
  EXPECT_EQ(recipe.names(), (std::vector<std::string>{"state_Peri", "state_Post", "x"}));
  const auto rows = *recipe.rows(std::vector<Column>{{"state", {NAN}, {"Other"}}, {"x", {5}, {}}});
  EXPECT_EQ(rows.at(0, 0), 0);
  EXPECT_EQ(rows.at(0, 1), 0);
  EXPECT_EQ(recipe.rows(std::vector<Column>{{"x", {5}, {}}}).error().message,
            "there is no column state, which the model was fitted on");
}

TEST(FoldsTest, groups_stay_together_and_failures_are_spread_evenly) {
  std::vector<std::uint32_t> groups;
  std::vector<double> failed;
  for (std::uint32_t i = 0; i < 100; ++i) groups.push_back(i / 2), failed.push_back(i / 2 % 5 == 0);
  const auto folds = folds_of(groups, failed, 5, 3);
  std::vector<int> failures(5);
  for (std::size_t i = 0; i < folds.size(); ++i) {
    EXPECT_EQ(folds[i], folds[i ^ 1]);
    failures[folds[i]] += failed[i] > 0;
  }
  for (const int count : failures) EXPECT_EQ(count, 4);
}

TEST(EngineeringTest, adds_what_the_platforms_datasets_have) {
  Dataset dataset{{}, {"voltage", "current", "power"}, {{230, 230, 230}, {1, 2, 0}, {200, 460, 5}}};
  for (int i = 0; i < 3; ++i)
    dataset.times.push_back(LocalTime(std::chrono::seconds(1'770'503'400)) + std::chrono::hours(i));  // Saturday 22:30
  engineer(dataset, {.window = 2, .lags = {1}});
  EXPECT_EQ(*dataset.find("hour"), (std::vector<double>{22, 23, 0}));
  EXPECT_EQ(*dataset.find("day_of_week"), (std::vector<double>{5, 5, 6}));
  EXPECT_EQ(*dataset.find("is_weekend"), (std::vector<double>{1, 1, 1}));
  EXPECT_NEAR((*dataset.find("power_factor"))[0], 200.0 / 230, 1e-12);
  EXPECT_EQ((*dataset.find("power_factor"))[1], 1);
  EXPECT_TRUE(std::isnan((*dataset.find("power_factor"))[2]));
  EXPECT_TRUE(std::isnan((*dataset.find("power_rolling_mean"))[0]));
  EXPECT_EQ((*dataset.find("power_rolling_mean"))[1], 330);
  EXPECT_NEAR((*dataset.find("power_rolling_std"))[1], 260 / std::sqrt(2), 1e-9);
  EXPECT_EQ((*dataset.find("power_rate"))[2], -455);
  EXPECT_EQ((*dataset.find("current_lag_1"))[2], 2);
  EXPECT_EQ(dataset.find("is_holiday"), nullptr);
}

TEST(EngineeringTest, a_probability_has_the_hours_of_its_band) {
  EXPECT_EQ(time_to_failure_hours(0.81), 1);
  EXPECT_EQ(time_to_failure_hours(0.8), 6);
  EXPECT_EQ(time_to_failure_hours(0.41), 24);
  EXPECT_EQ(time_to_failure_hours(0.4), -1);
}

TEST(EngineeringTest, a_spike_that_has_left_the_window_has_left_the_rolling_columns) {
  Dataset dataset{.times = {}, .names = {"power"}, .columns = {{}}};
  Random random(2);
  for (int i = 0; i < 400; ++i) {
    dataset.times.push_back(LocalTime(std::chrono::seconds(60 * i)));
    dataset.columns[0].push_back(i == 19 ? 4294967295.0 : i == 50 ? 1e308 : i == 200 ? 1e12 : 5 + random.normal());
  }
  engineer(dataset, {.window = 20});
  const auto &power = *dataset.find("power"), &means = *dataset.find("power_rolling_mean"),
             &deviations = *dataset.find("power_rolling_std");
  for (const std::size_t row : {40U, 70U, 71U, 90U, 220U, 221U, 399U}) {
    const auto window = std::span(power).subspan(row - 19, 20);
    EXPECT_NEAR(means[row], mean(window), 1e-6) << row;
    EXPECT_NEAR(deviations[row], deviation(window), 1e-6) << row;
  }
}

TEST(CalibrationTest, a_site_whose_machines_fail_more_often_gets_probabilities_that_come_true) {
  Random random(6);
  std::vector<double> said, failed;
  for (int i = 0; i < 4000; ++i) {
    const double x = 2 * random.normal() - 3;  // What the model says, in log odds; the truth is steeper and higher.
    said.push_back(1 / (1 + std::exp(-x)));
    failed.push_back(random.uniform() < 1 / (1 + std::exp(-(1.5 + 1.4 * x))) ? 1 : 0);
  }
  const auto line = Calibration::fit(said, failed);
  ASSERT_TRUE(line);
  std::vector<double> then;
  for (const double each : said) then.push_back(line->of(each));
  EXPECT_LT(brier(failed, then), brier(failed, said));
  EXPECT_LT(calibration_error(failed, then), 0.02);
  EXPECT_GT(calibration_error(failed, said), 0.05);
  EXPECT_DOUBLE_EQ(roc_auc(failed, then), roc_auc(failed, said));
  EXPECT_EQ(Calibration().of(0.2), 0.2);
}

TEST(CalibrationTest, few_rows_change_little_and_a_model_that_is_wrong_is_not_turned_round) {
  std::vector<double> said(20, 0.1), failed(20, 0);
  failed[0] = failed[1] = 1;
  EXPECT_NEAR(Calibration::fit(said, failed)->of(0.1), 0.1, 0.03);
  for (std::size_t i = 0; i < 20; ++i) said[i] = failed[i] == 1 ? 0.01 : 0.99;
  const auto line = Calibration::fit(said, failed);
  EXPECT_LE(line->of(0.01), line->of(0.99));
  double expected = 0;
  for (const double each : said) expected += line->of(each);
  EXPECT_LT(expected, 5);  // Two failed; twenty rows do not outweigh what is thought before.
  EXPECT_EQ(Calibration::fit(std::vector<double>(5, 0.5), std::vector<double>{0, 1, 0, 1, 0}).error().message,
            "5 rows with 2 failures: at least 20 rows are needed, failures and others among them");
  EXPECT_FALSE(Calibration::fit(std::vector<double>(30, 0.5), std::vector<double>(30, 0)));
}

}  // namespace
}  // namespace wattd::ml
