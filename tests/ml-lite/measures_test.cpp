#include "ml-lite/measures.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace wattd::ml {
namespace {

const std::vector<double> kLabels{0, 0, 1, 1, 0, 1, 0, 1}, kScores{.1, .4, .35, .8, .4, .4, .2, .9};

TEST(MeasuresTest, areas_are_those_of_scikit_learn) {
  EXPECT_NEAR(roc_auc(kLabels, kScores), 0.8125, 1e-12);
  EXPECT_NEAR(pr_auc(kLabels, kScores), 0.8166666666666667, 1e-12);
}

TEST(MeasuresTest, areas_without_a_failure_or_without_a_survivor_are_unknown) {
  EXPECT_TRUE(std::isnan(roc_auc(std::vector<double>{0, 0}, std::vector<double>{1, 2})));
  EXPECT_TRUE(std::isnan(pr_auc(std::vector<double>{0, 0}, std::vector<double>{1, 2})));
}

TEST(MeasuresTest, a_threshold_counts_scores_that_reach_it) {
  const auto counts = confusion(kLabels, kScores, 0.4);
  EXPECT_EQ(counts.true_positive, 3);
  EXPECT_EQ(counts.false_positive, 2);
  EXPECT_EQ(counts.false_negative, 1);
  EXPECT_DOUBLE_EQ(counts.precision(), 0.6);
  EXPECT_DOUBLE_EQ(counts.recall(), 0.75);
  EXPECT_DOUBLE_EQ(counts.f1(), 2.0 / 3);
  EXPECT_DOUBLE_EQ(confusion(kLabels, kScores, best_threshold(kLabels, kScores)).f1(), 0.8);
}

TEST(MeasuresTest, forecasts_are_measured_as_the_literature_does) {
  const std::vector<double> history{1, 2, 4, 3, 5, 6}, actual{2, 0, 4}, forecast{1, 0, 6};
  EXPECT_DOUBLE_EQ(naive_scale(history, 2), (3 + 1 + 1 + 3) / 4.0);
  EXPECT_DOUBLE_EQ(mase(actual, forecast, 2), 0.5);
  EXPECT_DOUBLE_EQ(smape(actual, forecast), 100 * (2.0 / 3 + 0 + 0.4) / 3);
  EXPECT_DOUBLE_EQ(mape(actual, forecast), 50);
  EXPECT_DOUBLE_EQ(pinball(actual, forecast, 0.9), (0.9 + 0.2) / 3);
  EXPECT_DOUBLE_EQ(coverage(actual, std::vector<double>{1, 1, 4}, std::vector<double>{2, 2, 4}), 2.0 / 3);
  EXPECT_TRUE(std::isnan(naive_scale(history, 6)));
}

TEST(MeasuresTest, concordance_leaves_out_what_cannot_be_compared) {
  const std::vector<double> time{1, 2, 2, 3}, event{1, 1, 0, 0}, risk{3, 2, 2, 1};
  EXPECT_DOUBLE_EQ(concordance(time, event, risk), 4.5 / 5);
}

RC_GTEST_PROP(MeasuresTest, concordance_is_the_share_of_all_comparable_pairs, ()) {
  const auto rows = *rc::gen::container<std::vector<std::array<int, 3>>>(
      rc::gen::container<std::array<int, 3>>(rc::gen::inRange(0, 6)));
  std::vector<double> time, event, risk;
  for (const auto& [t, e, r] : rows) time.push_back(t), event.push_back(e % 2), risk.push_back(r);
  double right = 0, pairs = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < rows.size(); ++j) {
      const bool outlived = time[j] > time[i] || (time[j] == time[i] && event[j] == 0);
      if (event[i] == 0 || !outlived) continue;
      pairs += 1, right += risk[j] < risk[i] ? 1 : risk[j] == risk[i] ? 0.5 : 0;
    }
  }
  const double found = concordance(time, event, risk);
  const bool same = pairs == 0 ? std::isnan(found) : std::abs(found - right / pairs) < 1e-12;
  RC_ASSERT(same);
}

TEST(MeasuresTest, probabilities_that_come_true_as_often_as_they_say_have_no_calibration_error) {
  const std::vector<double> label{0, 0, 0, 1, 1, 1, 1, 0}, right{.25, .25, .25, .25, .75, .75, .75, .75};
  EXPECT_DOUBLE_EQ(calibration_error(label, right), 0);
  EXPECT_DOUBLE_EQ(calibration_error(std::vector<double>{1, 0}, std::vector<double>{.9, .2}), (.1 + .2) / 2);
}

RC_GTEST_PROP(MeasuresTest, a_rising_curve_of_scores_changes_no_area, ()) {
  const auto scores = *rc::gen::nonEmpty(
      rc::gen::container<std::vector<double>>(rc::gen::map(rc::gen::inRange(0, 20), [](int i) { return i * 1.0; })));
  std::vector<double> labels, stretched;
  for (const double score : scores) labels.push_back(*rc::gen::inRange(0, 2)), stretched.push_back(std::exp(score) + 3);
  const double plain = roc_auc(labels, scores), other = roc_auc(labels, stretched);
  RC_ASSERT((std::isnan(plain) && std::isnan(other)) || std::abs(plain - other) < 1e-12);
}

}  // namespace
}  // namespace wattd::ml
