// A model file may come from anywhere: with a bundle, by mail, from a disk full of zeros. The checksum and the head are
// made here, so that the fuzzer gets past them; the first byte picks the kind. What is read is used: a model that was
// taken must not fail later.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "ml-lite/anomaly/outlier_model.h"
#include "ml-lite/failure/maintenance_model.h"
#include "ml-lite/forecast/series_model.h"
#include "ml-lite/model_file.h"
#include "ml-lite/stream/detector.h"

namespace {

using namespace wattd::ml;

/// Reads a body as this kind, reads back what it writes, and uses it: numbers that are made up may grow beyond all
/// bounds then, and such a model is not kept.
template <class Model, class Use>
void try_as(std::span<const std::uint8_t> body, Use use) {
  auto model = decode<Model>(seal(Model::kKind, Model::kVersion, body));
  if (!model) return;
  if (!decode<Model>(encode(*model))) std::abort();
  use(*model);
}

template <class Model>
void score(const Model& model) {
  if (model.columns() > 1000) return;
  std::vector<double> row(model.columns(), 0.5);
  row[0] = std::nan("");
  (void)model.score(row);
}

template <class Model>
void predict(const Model& model) {
  if (model.columns() <= 1000) (void)model.predict(std::vector<double>(model.columns(), 0.5));
}

/// A number made of a body's bytes, wherever they end.
double value_in(std::span<const std::uint8_t> body, std::size_t index) {
  double value = 0;
  if ((index + 1) * sizeof value <= body.size()) std::memcpy(&value, body.data() + index * sizeof value, sizeof value);
  return value;
}

std::vector<Column> columns_named(const std::vector<std::string>& names) {
  std::vector<Column> columns;
  for (const auto& name : names) columns.push_back({name, {1, 2, 3}, {}});
  return columns;
}

/// Rows of the recipe's own columns, three of one unit.
void ask(const MaintenanceModel& model) {
  const auto columns = columns_named(model.recipe.names());
  if (columns.size() > 1000) return;
  (void)model.recipe.rows(columns);
  if (const auto* life = std::get_if<RemainingLife>(&model.model)) {
    if (life->sensors() <= 1000) (void)life->predict({Table(3, life->sensors()), {0, 0, 0}, {1, 2, 3}});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  (void)unseal({data, size});
  if (size == 0) return 0;
  const std::span body(data + 1, size - 1);
  const auto start = LocalTime(std::chrono::seconds(1'770'595'200));
  switch (data[0] % 16) {
    case 0: try_as<IsolationForest>(body, [](auto& model) { score(model); }); break;
    case 1: try_as<OutlierEnsemble>(body, [](auto& model) { score(model); }); break;
    case 2: try_as<Autoencoder>(body, [](auto& model) { score(model); }); break;
    case 3:
      try_as<StreamDetector>(body, [&](auto& model) {
        for (std::size_t i = 0; i < 50; ++i) (void)model.judge(start + std::chrono::hours(i), value_in(body, i));
      });
      break;
    case 4: try_as<RandomForest>(body, [](auto& model) { predict(model); }); break;
    case 5: try_as<GradientBoosting>(body, [](auto& model) { predict(model); }); break;
    case 6: try_as<FailureCommittee>(body, [](auto& model) { predict(model); }); break;
    case 7:
      try_as<Cox>(body, [](auto& model) {
        if (model.columns() <= 1000) (void)model.survival(std::vector<double>(model.columns(), 0.5), 1);
      });
      break;
    case 8: try_as<Sarima>(body, [](auto& model) { (void)model.forecast(3); }); break;
    case 9: try_as<Smoothing>(body, [](auto& model) { model.observe(1), (void)model.forecast(3); }); break;
    case 10: try_as<Additive>(body, [&](auto& model) { (void)model.forecast(std::vector<LocalTime>{start}); }); break;
    case 11: try_as<Lstm>(body, [](auto& model) { (void)model.forecast(2); }); break;
    case 12:
      try_as<load::Forecaster>(body, [](auto& model) {
        model.observe(3);
        if (model.forecast(3).size() != 3) std::abort();
      });
      break;
    case 13:
      try_as<OutlierModel>(body, [](auto& model) {
        if (model.recipe().names().size() <= 1000) (void)model.judge(columns_named(model.recipe().names()));
      });
      break;
    case 14:
      try_as<SeriesModel>(body, [](auto& model) {
        model.observe(3);
        (void)model.forecast(3), (void)model.explain(2);
      });
      break;
    default: try_as<MaintenanceModel>(body, [](auto& model) { ask(model); }); break;
  }
  return 0;
}
