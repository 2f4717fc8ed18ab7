#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "ml-lite/failure/random_forest.h"
#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"
#include "ml-lite/random.h"
#include "ml-lite/trees/boosting.h"

namespace wattd::ml {
namespace {

/// Fails where exactly one of two columns is high: neither tells it alone. The third column is noise.
struct Machine {
  Table rows{3};
  std::vector<double> failed;

  explicit Machine(std::size_t count, std::uint64_t seed = 7) {
    Random random(seed);
    for (std::size_t i = 0; i < count; ++i) {
      const double row[] = {random.uniform(), random.uniform(), random.uniform()};
      rows.append(row);
      failed.push_back((row[0] > 0.5) != (row[1] > 0.5));
    }
  }
};

TEST(TreesTest, a_boosted_model_learns_what_two_columns_say_together) {
  const Machine seen(2000), unseen(500, 8);
  const auto model = GradientBoosting::fit(seen.rows, seen.failed, {.loss = Loss::logistic, .trees = 60});
  ASSERT_TRUE(model);
  EXPECT_GT(roc_auc(unseen.failed, model->predict(unseen.rows)), 0.99);
}

TEST(TreesTest, a_forest_learns_it_and_judges_itself_by_rows_it_has_not_seen) {
  const Machine seen(2000), unseen(500, 8);
  const auto model = RandomForest::fit(seen.rows, seen.failed, {.trees = 60});
  ASSERT_TRUE(model);
  EXPECT_GT(roc_auc(unseen.failed, model->predict(unseen.rows)), 0.98);
  // On its own rows it is perfect; out of bag it is as good as on new ones.
  EXPECT_EQ(roc_auc(seen.failed, model->predict(seen.rows)), 1);
  EXPECT_LT(roc_auc(seen.failed, model->out_of_bag()), 1);
  EXPECT_GT(roc_auc(seen.failed, model->out_of_bag()), 0.98);
}

TEST(TreesTest, one_row_alone_gets_what_it_gets_among_others) {
  const Machine machine(300);
  const auto forest = RandomForest::fit(machine.rows, machine.failed, {.trees = 20});
  const auto boosted = GradientBoosting::fit(machine.rows, machine.failed, {.loss = Loss::logistic, .trees = 20});
  const auto of_forest = forest->predict(machine.rows), of_boosted = boosted->predict(machine.rows);
  for (std::size_t row = 0; row < machine.rows.rows(); ++row) {
    EXPECT_NEAR(forest->predict(machine.rows.row(row)), of_forest[row], 1e-12);
    EXPECT_NEAR(boosted->predict(machine.rows.row(row)), of_boosted[row], 1e-12);
  }
}

TEST(TreesTest, shares_add_up_to_the_answer) {
  const Machine machine(300);
  const auto forest = RandomForest::fit(machine.rows, machine.failed, {.trees = 20});
  const auto boosted = GradientBoosting::fit(machine.rows, machine.failed, {.trees = 20});
  const auto from_root = [](const auto& model, std::span<const double> row) {
    const auto shares = model.explain(row);
    return model.predict(row) - std::accumulate(shares.begin(), shares.end(), 0.0);
  };
  // What is left is the same for every row: where all of them start.
  EXPECT_NEAR(from_root(*forest, machine.rows.row(0)), from_root(*forest, machine.rows.row(1)), 1e-6);
  EXPECT_NEAR(from_root(*boosted, machine.rows.row(0)), from_root(*boosted, machine.rows.row(1)), 1e-6);
}

TEST(TreesTest, the_same_seed_gives_the_same_bytes_and_another_does_not) {
  const Machine machine(300);
  const auto bytes = [&](std::uint64_t seed) {
    return encode(*RandomForest::fit(machine.rows, machine.failed, {.trees = 5, .seed = seed}));
  };
  EXPECT_EQ(bytes(1), bytes(1));
  EXPECT_NE(bytes(1), bytes(2));
}

TEST(TreesTest, a_quantile_has_its_share_of_values_below) {
  Random random(3);
  Table rows(1);
  std::vector<double> target;
  for (int i = 0; i < 3000; ++i) {
    const double row[] = {random.uniform()};
    rows.append(row);
    target.push_back(row[0] * 10 + row[0] * random.normal());
  }
  const auto model = GradientBoosting::fit(rows, target, {.loss = Loss::quantile, .quantile = 0.9, .trees = 100});
  const auto line = model->predict(rows);
  double below = 0;
  for (std::size_t i = 0; i < target.size(); ++i) below += target[i] <= line[i];
  EXPECT_NEAR(below / 3000, 0.9, 0.02);
}

TEST(TreesTest, missing_values_are_an_answer_too) {
  Random random(3);
  Table rows(1);
  std::vector<double> failed;
  for (int i = 0; i < 400; ++i) {
    const bool missing = random.uniform() < 0.3;
    const double row[] = {missing ? std::nan("") : 1 + random.uniform()};
    rows.append(row);
    failed.push_back(missing);
  }
  const auto model = GradientBoosting::fit(rows, failed, {.loss = Loss::logistic, .trees = 50});
  const double gone[] = {std::nan("")}, there[] = {1.5};
  EXPECT_GT(model->predict(gone), 0.9);
  EXPECT_LT(model->predict(there), 0.1);
}

TEST(TreesTest, what_cannot_be_learnt_from_is_refused_with_a_reason) {
  const Machine machine(10);
  const auto short_target = RandomForest::fit(machine.rows, std::vector<double>{1});
  ASSERT_FALSE(short_target);
  EXPECT_EQ(short_target.error().message, "1 targets for 10 rows");
  auto bad = machine.failed;
  bad[3] = std::nan("");
  EXPECT_EQ(GradientBoosting::fit(machine.rows, bad).error().message, "the target of row 4 is missing");
  bad[3] = 2;
  EXPECT_EQ(GradientBoosting::fit(machine.rows, bad, {.loss = Loss::logistic}).error().message,
            "the target is to be 0 or 1 in every row");
}

}  // namespace
}  // namespace wattd::ml
