#include "ml-lite/model_file.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "ml-lite/anomaly/autoencoder.h"
#include "ml-lite/anomaly/outlier_ensemble.h"
#include "ml-lite/failure/maintenance_model.h"
#include "ml-lite/forecast/additive.h"
#include "ml-lite/forecast/lstm.h"
#include "ml-lite/forecast/sarima.h"
#include "ml-lite/forecast/smoothing.h"
#include "ml-lite/random.h"
#include "tests/ml-lite/series.h"

namespace wattd::ml {
namespace {

constexpr LocalTime kMonday{std::chrono::seconds(1'770'595'200)};

struct Rows {
  Table table{3};
  std::vector<double> target, time;

  explicit Rows(std::size_t count) {
    Random random(2);
    for (std::size_t i = 0; i < count; ++i) {
      const double row[] = {random.normal(), random.uniform(), random.normal()};
      table.append(row);
      target.push_back(row[0] + row[1] > 0.5);
      time.push_back(1 + random.below(50));
    }
  }
};

/// What is read back is what was written, byte for byte.
template <class Model>
void comes_back(const Model& model) {
  const auto bytes = encode(model);
  const auto read = decode<Model>(bytes);
  ASSERT_TRUE(read) << Model::kKind << ": " << read.error().message;
  EXPECT_EQ(encode(*read), bytes) << Model::kKind;
}

TEST(ModelFileTest, every_kind_comes_back_as_it_was) {
  const Rows rows(300);
  comes_back(*IsolationForest::fit(rows.table, {.trees = 10}));
  comes_back(*OutlierEnsemble::fit(rows.table));
  comes_back(*Autoencoder::fit(rows.table, {.updates = 50}));
  comes_back(*RandomForest::fit(rows.table, rows.target, {.trees = 5}));
  comes_back(*GradientBoosting::fit(rows.table, rows.target, {.loss = Loss::logistic, .trees = 5}));
  comes_back(*Cox::fit(rows.table, rows.time, rows.target));
  comes_back(*Sarima::fit(reference_series(80), {.order = {.season = 4}}));
  comes_back(*Smoothing::fit(reference_series(80), 4));
  comes_back(*Lstm::fit(kMonday, std::chrono::hours(1), building_load(600),
                        {.updates = 5, .holidays = {std::chrono::local_days(std::chrono::days(20500))}}));
  std::vector<LocalTime> times;
  for (int i = 0; i < 200; ++i) times.push_back(kMonday + std::chrono::hours(i));
  comes_back(*Additive::fit(times, reference_series(200)));
}

TEST(ModelFileTest, a_model_read_back_says_the_same) {
  const Rows rows(300);
  const auto forest = *OutlierEnsemble::fit(rows.table);
  const auto encoder = *Autoencoder::fit(rows.table, {.updates = 50});
  const auto committee = *FailureCommittee::fit(rows.table, rows.target);
  const auto forest2 = *decode<OutlierEnsemble>(encode(forest));
  const auto encoder2 = *decode<Autoencoder>(encode(encoder));
  const auto committee2 = *decode<FailureCommittee>(encode(committee));
  for (std::size_t i = 0; i < rows.table.rows(); ++i) {
    EXPECT_EQ(forest.score(rows.table.row(i)), forest2.score(rows.table.row(i)));
    EXPECT_EQ(encoder.score(rows.table.row(i)), encoder2.score(rows.table.row(i)));
    EXPECT_EQ(committee.predict(rows.table.row(i)), committee2.predict(rows.table.row(i)));
  }
}

TEST(ModelFileTest, the_example_of_the_format_is_a_file) {
  // docs/formats/model.md
  Table rows(1);
  std::vector<double> time, event;
  for (int i = 0; i < 8; ++i) {
    const double row[] = {static_cast<double>(i % 3)};
    rows.append(row);
    time.push_back(1 + i % 2), event.push_back(i % 2 == 0 || i == 7);
  }
  const auto bytes = encode(*Cox::fit(rows, time, event));
  const std::vector<std::uint8_t> head{0x77, 0x61, 0x74, 0x74, 0x6d, 0x6c, 0x0a,
                                       0x01, 0x03, 0x63, 0x6f, 0x78, 0x01, 0x3c};
  EXPECT_EQ(std::vector<std::uint8_t>(bytes.begin(), bytes.begin() + 14), head);
  EXPECT_EQ(bytes.size(), 14u + 60 + 4);
}

RC_GTEST_PROP(ModelFileTest, a_byte_that_was_altered_or_lost_is_noticed, ()) {
  static const auto bytes = encode(*Smoothing::fit(reference_series(40), 4));
  auto altered = bytes;
  const auto at = *rc::gen::inRange<std::size_t>(0, bytes.size());
  altered[at] ^= static_cast<std::uint8_t>(*rc::gen::inRange(1, 256));
  RC_ASSERT(!decode<Smoothing>(altered));
  RC_ASSERT(!decode<Smoothing>(std::span(bytes).first(at)));
}

TEST(ModelFileTest, what_is_no_such_model_is_refused_with_a_reason) {
  const std::vector<std::uint8_t> zeros(100);
  EXPECT_EQ(decode<Cox>(zeros).error().message, "not a model file");
  const auto smoothing = encode(*Smoothing::fit(reference_series(40), 4));
  EXPECT_EQ(decode<Cox>(smoothing).error().message, "the file holds a model of kind holt-winters, expected cox");
  auto damaged = smoothing;
  damaged[30] ^= 1;
  EXPECT_EQ(decode<Smoothing>(damaged).error().message, "the model file is damaged: its checksum does not hold");
  const auto newer = seal(Smoothing::kKind, Smoothing::kVersion + 1, {});
  EXPECT_EQ(decode<Smoothing>(newer).error().kind, ErrorKind::unsupported);
}

}  // namespace
}  // namespace wattd::ml
