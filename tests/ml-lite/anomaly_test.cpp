#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "ml-lite/anomaly/false_alarms.h"
#include "ml-lite/anomaly/outlier_model.h"
#include "ml-lite/anomaly/seasonal_esd.h"
#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"
#include "ml-lite/random.h"
#include "ml-lite/seasonal_trend.h"
#include "ml-lite/training_rows.h"
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
  for (const std::uint32_t code : {1U, 2U}) {
    const auto model = Autoencoder::fit(rows, {.code = code});
    ASSERT_TRUE(model);
    EXPECT_EQ(highest(model->score(rows)), rows.rows() - 1) << code;
    EXPECT_NE(highest(model->explain(rows.row(rows.rows() - 1))), 2u) << code;
    const auto shares = model->explain(rows.row(7));
    EXPECT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0), model->score(rows.row(7)), 1e-12);
  }
}

TEST(AutoencoderTest, odd_rows_among_those_it_learns_from_do_not_become_the_measure) {
  auto rows = motor(2000);
  for (int i = 0; i < 60; ++i) {
    const double wild[] = {5, 40'000, 50};
    rows.append(wild);
  }
  const auto model = Autoencoder::fit(rows);
  const auto scores = model->score(rows);
  for (std::size_t row = 0; row < 2000; ++row) EXPECT_LT(scores[row], scores.back() / 3) << row;
}

TEST(FalseAlarmsTest, a_rate_is_the_share_that_scored_as_high_and_never_less) {
  Random random(3);
  std::vector<double> scores;
  for (int i = 0; i < 5000; ++i) scores.push_back(std::floor(1e3 * random.uniform()) / 100);  // Many are equal.
  const FalseAlarms rates(scores);
  for (double score = -1; score < 12; score += 0.013) {
    const auto as_high = static_cast<double>(std::ranges::count_if(scores, [&](double each) { return each >= score; }));
    const double exact = (1 + as_high) / 5001;
    EXPECT_GE(rates.rate(score), exact - 1e-12) << score;
    EXPECT_LE(rates.rate(score), exact * 1.03 + 2e-3) << score;
  }
  EXPECT_EQ(rates.rate(11), 1 / 5001.0);
  EXPECT_EQ(FalseAlarms({2, 2, 2}).rate(2), 1);
  EXPECT_EQ(FalseAlarms({2, 2, 2}).rate(1), 1);
  EXPECT_EQ(FalseAlarms().rate(1), 1);
}

std::vector<Column> columns_of(const Table& rows) {
  std::vector<Column> columns{{"current", {}, {}}, {"power", {}, {}}, {"temperature", {}, {}}};
  for (std::size_t row = 0; row < rows.rows(); ++row) {
    for (std::size_t column = 0; column < 3; ++column) columns[column].numbers.push_back(rows.at(row, column));
  }
  return columns;
}

class OutlierModelTest : public testing::TestWithParam<std::string_view> {};

TEST_P(OutlierModelTest, rows_it_never_saw_are_flagged_as_rarely_as_was_asked_for) {
  const auto usual = motor(3000);
  std::vector<std::uint32_t> seen, unseen;
  for (std::uint32_t row = 0; row < 3000; ++row) (row % 2 == 0 ? seen : unseen).push_back(row);
  const auto model = OutlierModel::fit(columns_of(pick(usual, seen)), {}, {.model = GetParam()});
  ASSERT_TRUE(model);
  EXPECT_EQ(model->kind(), GetParam());
  const auto read = decode<OutlierModel>(encode(*model));
  ASSERT_TRUE(read);
  const auto judgements = read->judge(columns_of(pick(usual, unseen)));
  const auto share = [&](double rate) {
    return static_cast<double>(std::ranges::count_if(*judgements, [&](auto each) { return each.rate <= rate; })) / 1500;
  };
  EXPECT_NEAR(share(0.05), 0.05, 0.02);
  EXPECT_NEAR(share(0.01), 0.01, 0.01);
  // A motor that is hot and draws ten times the current is none of them.
  const double hot[] = {50, 11500, 120};
  Table rows(3);
  rows.append(hot);
  EXPECT_LT(read->judge(columns_of(rows))->front().rate, 0.002);
  EXPECT_EQ(read->judge(std::vector<Column>{}).error().message, model->judge(std::vector<Column>{}).error().message);
}
INSTANTIATE_TEST_SUITE_P(Kinds, OutlierModelTest,
                         testing::Values(IsolationForest::kKind, OutlierEnsemble::kKind, Autoencoder::kKind));

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

TEST(SeasonalEsdTest, what_goes_is_each_time_the_farthest_in_median_deviations_of_what_is_left) {
  Random random(9);
  for (const std::size_t count : {500U, 501U}) {
    std::vector<double> values;
    for (std::size_t i = 0; i < count; ++i)
      values.push_back(10 * std::sin(static_cast<double>(i) / 24 * 2 * 3.14159265) + std::pow(random.normal(), 3));
    const auto found = seasonal_esd(values, {.period = 24, .most = 0.3, .alpha = 0.9});
    ASSERT_TRUE(found);
    ASSERT_GT(found->size(), 20u);
    const auto parts = take_apart(values, {.period = 24});
    std::vector<std::pair<double, std::size_t>> left;
    for (std::size_t i = 0; i < count; ++i) left.emplace_back(values[i] - parts->season[i] - median(values), i);
    double before = 0, ratio = 0;
    for (const auto& outlier : *found) {
      std::vector<double> rest;
      for (const auto& each : left) rest.push_back(each.first);
      const double centre = median(rest), spread = robust_deviation(rest);
      const auto farthest =
          std::ranges::max_element(left, {}, [&](const auto& each) { return std::abs(each.first - centre); });
      EXPECT_EQ(outlier.index, farthest->second);
      // The strength is that distance over what the test asks for, which changes slowly from one to the next.
      const double now = std::abs(farthest->first - centre) / spread / outlier.strength;
      if (before > 0) ratio = std::max(ratio, std::abs(now / before - 1));
      before = now;
      left.erase(farthest);
    }
    EXPECT_LT(ratio, 0.01);
  }
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
