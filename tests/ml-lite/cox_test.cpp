#include "ml-lite/failure/cox.h"

#include <gtest/gtest.h>

#include "ml-lite/measures.h"

namespace wattd::ml {
namespace {

/// Forty histories with many ties; references by statsmodels 0.13, PHReg.
struct Histories {
  Table rows{2};
  std::vector<double> time, event;

  Histories() {
    for (int i = 0; i < 40; ++i) {
      const double row[] = {(i * 37 % 11) / 11.0, i * 53 % 7 - 3.0};
      rows.append(row);
      time.push_back(1 + i * 29 % 13);
      event.push_back(i % 3 != 0);
    }
  }
};

TEST(CoxTest, efron_and_breslow_are_those_of_the_reference) {
  const Histories h;
  const auto efron = Cox::fit(h.rows, h.time, h.event),
             breslow = Cox::fit(h.rows, h.time, h.event, {.ties = Ties::breslow});
  ASSERT_TRUE(efron && breslow);
  EXPECT_NEAR(efron->coefficients()[0], -0.12351862, 1e-7);
  EXPECT_NEAR(efron->coefficients()[1], -0.01732963, 1e-7);
  EXPECT_NEAR(efron->standard_errors()[0], 0.69617999, 1e-6);
  EXPECT_NEAR(efron->log_likelihood(), -72.5290280672143, 1e-8);
  EXPECT_NEAR(breslow->coefficients()[0], -0.08557285, 1e-7);
  EXPECT_NEAR(breslow->coefficients()[1], -0.01976886, 1e-7);
  EXPECT_NEAR(breslow->log_likelihood(), -73.69745443543286, 1e-8);
}

TEST(CoxTest, survival_falls_with_time_and_with_risk) {
  const Histories h;
  const auto model = Cox::fit(h.rows, h.time, h.event);
  const double calm[] = {1, 3}, wild[] = {0, -3};
  EXPECT_EQ(model->survival(calm, 0), 1);
  EXPECT_GT(model->survival(calm, 3), model->survival(calm, 9));
  EXPECT_GT(model->risk(wild), model->risk(calm));
  EXPECT_LT(model->survival(wild, 5), model->survival(calm, 5));
  EXPECT_LE(model->time_until(wild, 0.5), model->time_until(calm, 0.5));
  EXPECT_TRUE(std::isinf(model->time_until(calm, 1e-9)));
}

TEST(CoxTest, what_has_no_answer_is_refused_with_a_reason) {
  Histories h;
  EXPECT_EQ(Cox::fit(h.rows, h.time, std::vector<double>(40, 0)).error().message,
            "nothing has failed yet: there is nothing to learn from");
  Table same(2);
  for (std::size_t i = 0; i < 40; ++i) {
    const double row[] = {h.rows.at(i, 0), 2 * h.rows.at(i, 0)};
    same.append(row);
  }
  EXPECT_NE(Cox::fit(same, h.time, h.event).error().message.find("columns depend on each other"), std::string::npos);
  EXPECT_TRUE(Cox::fit(same, h.time, h.event, {.ridge = 0.1}));
  h.rows.at(5, 1) = std::nan("");
  EXPECT_EQ(Cox::fit(h.rows, h.time, h.event).error().message, "a value is missing");
}

}  // namespace
}  // namespace wattd::ml
