#include "ml-lite/anomaly/outlier_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ml-lite/kinds.h"
#include "ml-lite/training_rows.h"

namespace wattd::ml {
namespace {

constexpr std::uint32_t kFolds = 4;

std::vector<double> scores_of(const OutlierModel::Any& any, const Table& rows) {
  return std::visit([&](const auto& model) { return model.score(rows); }, any);
}

template <class Model>
Result<OutlierModel::Any> any_of(Result<Model> model) {
  if (!model) return std::unexpected(model.error());
  return OutlierModel::Any(std::move(*model));
}

}  // namespace

Result<OutlierModel::Any> OutlierModel::fit_any(const Table& rows, const OutlierOptions& options) {
  if (options.model == IsolationForest::kKind)
    return any_of(IsolationForest::fit(rows, {.tails = options.tails, .seed = options.seed}));
  if (options.model == Autoencoder::kKind) return any_of(Autoencoder::fit(rows, {.seed = options.seed}));
  return any_of(OutlierEnsemble::fit(rows, options.seed));
}

Result<OutlierModel> OutlierModel::fit(std::span<const Column> columns, const RecipeOptions& recipe,
                                       const OutlierOptions& options) {
  auto learnt = Recipe::learn(columns, recipe);
  if (!learnt) return std::unexpected(learnt.error());
  const auto rows = learnt->rows(columns);
  if (!rows) return std::unexpected(rows.error());
  auto fitted = fit_any(*rows, options);
  if (!fitted) return std::unexpected(fitted.error());
  OutlierModel result;
  result.recipe_ = std::move(*learnt), result.model_ = std::move(*fitted);

  std::vector<std::uint32_t> groups(rows->rows());
  std::iota(groups.begin(), groups.end(), 0U);
  const auto fold_of = folds_of(groups, {}, kFolds, options.seed);
  std::vector<double> scores;
  for (std::uint32_t fold = 0; fold < kFolds; ++fold) {
    std::vector<std::uint32_t> seen, unseen;
    for (const auto row : groups) (fold_of[row] == fold ? unseen : seen).push_back(row);
    const auto part = fit_any(pick(*rows, seen), options);
    // Where three quarters are too few for a model, its own scores have to do.
    const auto held_back = scores_of(part ? *part : result.model_, pick(*rows, unseen));
    scores.insert(scores.end(), held_back.begin(), held_back.end());
  }
  result.false_alarms_ = FalseAlarms(std::move(scores));
  return result;
}

Result<std::vector<OutlierModel::Judgement>> OutlierModel::judge(std::span<const Column> columns) const {
  const auto rows = recipe_.rows(columns);
  if (!rows) return std::unexpected(rows.error());
  std::vector<Judgement> judgements;
  for (const double score : scores_of(model_, *rows)) {
    const auto row = rows->row(judgements.size());
    // A row of which nothing is known is not usual, and an infinite value is not missing.
    const bool nothing = std::ranges::all_of(row, [](double value) { return std::isnan(value); });
    const bool infinite = std::ranges::any_of(row, [](double value) { return std::isinf(value); });
    judgements.push_back({score, nothing    ? std::numeric_limits<double>::quiet_NaN()
                                 : infinite ? false_alarms_.least()
                                            : false_alarms_.rate(score)});
  }
  return judgements;
}

std::vector<double> OutlierModel::explain(std::span<const double> row) const {
  return std::visit([&](const auto& model) { return model.explain(row); }, model_);
}

std::string_view OutlierModel::kind() const { return kind_of(model_); }

void OutlierModel::write(ByteWriter& out) const {
  recipe_.write(out);
  write_any(out, model_);
  false_alarms_.write(out);
}

OutlierModel OutlierModel::read(ByteReader& in) {
  OutlierModel result;
  result.recipe_ = Recipe::read(in);
  result.model_ = read_any<Any>(in);
  result.false_alarms_ = FalseAlarms::read(in);
  const auto columns = std::visit([](const auto& model) { return model.columns(); }, result.model_);
  if (columns != result.recipe_.names().size()) throw BadBytes("the recipe does not match the model");
  return result;
}

}  // namespace wattd::ml
