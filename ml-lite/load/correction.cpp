#include "ml-lite/load/correction.h"

#include "ml-lite/load/columns.h"
#include "ml-lite/load/expert_line.h"

namespace wattd::ml::load {

Result<Correction> Correction::fit(const State& state, const LagRidge& ridge, std::size_t end) {
  Table rows(kColumns);
  std::vector<double> target;
  double columns[kColumns];
  for (const auto& [s, h] : spread(end, 2, kWeek, 1)) {
    const double line = ridge.forecast(state, s, h);
    look(state, s, h, line, columns);
    rows.append(columns);
    target.push_back(state.z(s) - line);
  }
  auto trees = GradientBoosting::fit(rows, target,
                                     {.loss = Loss::quantile,
                                      .trees = 100,
                                      .depth = 64,
                                      .leaves = 16,
                                      .bins = 64,
                                      .rate = 0.06,
                                      .ridge = 0,
                                      .least_rows = 100});
  if (!trees) return std::unexpected(trees.error());
  Correction correction;
  correction.trees_ = std::move(*trees);
  return correction;
}

double Correction::of(const State& state, std::size_t s, std::size_t h, double line) const {
  double columns[kColumns];
  look(state, s, h, line, columns);
  return trees_.predict(columns);
}

Correction Correction::read(ByteReader& in) {
  Correction correction;
  correction.trees_ = GradientBoosting::read(in);
  if (correction.trees_.columns() != kColumns) throw BadBytes("columns do not match");
  return correction;
}

Result<NextHour> NextHour::fit(const State& state, const LagRidge& ridge, std::size_t end) {
  Table rows(kCloseColumns);
  std::vector<double> above_line, above_last;
  double columns[kCloseColumns];
  auto pairs = spread(end, 1, 1, 1);
  // The last three months count twice: habits of homes change.
  constexpr std::size_t kRecent = 90 * 24;
  const auto count = pairs.size();
  for (auto i = count - std::min(count, kRecent); i < count; ++i) pairs.push_back(pairs[i]);
  for (const auto& [s, h] : pairs) {
    const double line = ridge.forecast(state, s, h);
    look_closely(state, s, line, columns);
    rows.append(columns);
    above_line.push_back(state.z(s) - line), above_last.push_back(state.z(s) - state.z(s - 1));
  }
  const BoostingOptions options{.loss = Loss::quantile,
                                .trees = 300,
                                .depth = 64,
                                .leaves = 24,
                                .bins = 64,
                                .rate = 0.05,
                                .ridge = 0,
                                .least_rows = 20,
                                .rows_share = 0.7,
                                .columns = 30};
  auto from_line = GradientBoosting::fit(rows, above_line, options);
  if (!from_line) return std::unexpected(from_line.error());
  auto from_last = GradientBoosting::fit(rows, above_last, options);
  if (!from_last) return std::unexpected(from_last.error());
  NextHour model;
  model.from_line_ = std::move(*from_line), model.from_last_ = std::move(*from_last);
  return model;
}

double NextHour::forecast(const State& state, std::size_t s, double line) const {
  double columns[kCloseColumns];
  look_closely(state, s, line, columns);
  return (line + from_line_.predict(columns) + state.z(s - 1) + from_last_.predict(columns)) / 2;
}

NextHour NextHour::read(ByteReader& in) {
  NextHour model;
  model.from_line_ = GradientBoosting::read(in);
  model.from_last_ = GradientBoosting::read(in);
  if (model.from_line_.columns() != kCloseColumns || model.from_last_.columns() != kCloseColumns)
    throw BadBytes("columns do not match");
  return model;
}

}  // namespace wattd::ml::load
