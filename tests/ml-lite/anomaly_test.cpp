#include <gtest/gtest.h>

#include <cmath>

#include "ml-lite/anomaly/autoencoder.h"
#include "ml-lite/anomaly/isolation_forest.h"
#include "ml-lite/anomaly/seasonal_esd.h"
#include "ml-lite/measures.h"
#include "ml-lite/random.h"
#include "tests/ml-lite/series.h"

namespace wattd::ml {
namespace {

/// Power follows current; the last row draws current without power, though neither is unusual alone.
Table motor(std::size_t count) {
  Random random(5);
  Table rows(3);
  for (std::size_t i = 0; i < count; ++i) {
    const double current = 5 + 2 * random.normal();
    const double row[] = {current, 230 * current + 20 * random.normal(), 50 + random.normal()};
    rows.append(row);
  }
  const double broken[] = {8, 230 * 3, 50};
  rows.append(broken);
  return rows;
}

std::size_t highest(const std::vector<double>& values) {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

TEST(IsolationForestTest, what_is_alone_scores_high_and_names_its_column) {
  auto rows = motor(2000);
  const double hot[] = {5, 1150, 90};
  rows.append(hot);
  const auto forest = IsolationForest::fit(rows);
  ASSERT_TRUE(forest);
  const auto scores = forest->score(rows);
  // A tree sees 256 rows, so what it has not seen is as extreme as the most extreme that it has.
  EXPECT_LE(std::ranges::count_if(scores, [&](double score) { return score > scores.back(); }), 60);
  EXPECT_EQ(highest(forest->explain(hot)), 2u);
  for (const double score : scores) EXPECT_TRUE(score > 0 && score < 1);
}

TEST(IsolationForestTest, one_row_alone_gets_what_it_gets_among_others) {
  const auto rows = motor(500);
  const auto forest = IsolationForest::fit(rows);
  const auto scores = forest->score(rows);
  for (std::size_t i = 0; i < rows.rows(); ++i) EXPECT_NEAR(forest->score(rows.row(i)), scores[i], 1e-12);
}

TEST(IsolationForestTest, a_missing_value_is_taken_for_a_usual_one) {
  const auto rows = motor(500);
  const auto forest = IsolationForest::fit(rows);
  const double whole[] = {5, 1150, 50}, gap[] = {5, 1150, std::nan("")};
  EXPECT_NEAR(forest->score(whole), forest->score(gap), 0.05);
}

TEST(IsolationForestTest, equal_rows_are_no_anomalies_and_no_endless_loop) {
  const auto forest = IsolationForest::fit(Table(100, 2));
  ASSERT_TRUE(forest);
  const double row[] = {0, 0};
  EXPECT_NEAR(forest->score(row), 0.5, 1e-6);
  EXPECT_EQ(IsolationForest::fit(Table(1, 2)).error().message, "an isolation forest needs at least two rows");
}

TEST(AutoencoderTest, a_broken_relation_scores_highest_and_is_named) {
  const auto rows = motor(2000);
  const auto model = Autoencoder::fit(rows, {.code = 2});
  ASSERT_TRUE(model);
  EXPECT_EQ(highest(model->score(rows)), rows.rows() - 1);
  EXPECT_NE(highest(model->explain(rows.row(rows.rows() - 1))), 2u);
}

TEST(SeasonalEsdTest, finds_what_was_put_in_and_nothing_else) {
  auto values = building_load(24 * 28, 0);
  Random random(4);
  for (double& value : values) value += random.uniform();
  values[200] += 60;
  values[411] -= 40;
  const auto found = seasonal_esd(values, {.period = 168});
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 2u);
  EXPECT_EQ((*found)[0].index, 200u);
  EXPECT_EQ((*found)[1].index, 411u);
  EXPECT_NEAR((*found)[0].expected, values[200] - 60, 10);
  const auto above = seasonal_esd(values, {.period = 168, .direction = Direction::above});
  ASSERT_EQ(above->size(), 1u);
  EXPECT_EQ((*above)[0].index, 200u);
}

TEST(SeasonalEsdTest, a_series_without_noise_has_no_anomaly_and_no_division_by_zero) {
  std::vector<double> values;
  for (int i = 0; i < 96; ++i) values.push_back(i % 24);
  EXPECT_TRUE(seasonal_esd(values, {.period = 24})->empty());
  EXPECT_EQ(seasonal_esd(values, {.period = 24, .most = 0.6}).error().message,
            "the share of anomalies has to lie between 0 and a half");
}

}  // namespace
}  // namespace wattd::ml
