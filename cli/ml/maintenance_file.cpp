#include "cli/ml/maintenance_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ml-lite/features/engineering.h"
#include "telemetry/csv.h"

namespace wattd::cli {
namespace {

std::vector<double> lives_in(const std::string& path) try {
  TextLines lines(path);
  std::vector<double> lives;
  std::string line;
  while (lines.next(line)) {
    char* end = nullptr;
    const double value = std::strtod(line.c_str(), &end);
    if (end != line.c_str()) lives.push_back(value);
  }
  return lives;
} catch (const std::runtime_error& problem) {
  throw BadInput(problem.what());
}

}  // namespace

std::vector<Judged> judge(const ml::MaintenanceModel& model, const ml::Table& rows, const ml::UnitHistories& histories,
                          const std::vector<double>& survival_at, const std::string& path) {
  std::vector<Judged> judged;
  if (const auto* life = std::get_if<ml::RemainingLife>(&model.model)) {
    const auto lives = life->predict(histories);
    if (!lives) throw BadInput(path + ": " + lives.error().message);
    for (const auto& each : *lives) judged.push_back({each.expected, each.low, each.high, {}});
  } else if (const auto* cox = std::get_if<ml::Cox>(&model.model)) {
    for (std::size_t row = 0; row < rows.rows(); ++row) {
      if (!std::ranges::all_of(rows.row(row), [](double value) { return std::isfinite(value); }))
        throw BadInput(
            fmt::format("{}: a value of row {} is missing, which a cox model cannot be asked about", path, row + 1));
      judged.push_back({.value = cox->risk(rows.row(row))});
      for (const double time : survival_at) judged.back().survival.push_back(cox->survival(rows.row(row), time));
    }
  } else {
    for (const double value : model.probabilities(rows)) judged.push_back({.value = value});
  }
  return judged;
}

Truth truth_of(const ml::MaintenanceModel& model, const Frame& frame, const std::string& lives, bool may_be_missing) {
  Truth truth;
  const auto numbers = [&](const std::string& name) {
    const auto* column = frame.find(name);
    // What is not known of these rows, or cannot be read, is not needed to judge them.
    const bool usable = column != nullptr && !column->is_text() &&
                        std::ranges::none_of(column->numbers, [](double value) { return std::isnan(value); });
    return may_be_missing && !usable ? std::vector<double>{} : frame.column(name).numbers;
  };
  if (std::holds_alternative<ml::Cox>(model.model) || !model.event.empty()) {
    truth.kind = Truth::survival;
    truth.first = numbers(model.target), truth.second = numbers(model.event);
  } else if (!model.unit.empty()) {
    truth.kind = Truth::life;
    const auto histories = model.histories(frame.columns);
    if (!histories) throw BadInput(frame.path + ": " + histories.error().message);
    const auto units = histories->units();
    if (!units) throw BadInput(frame.path + ": " + units.error().message);
    const auto left = lives.empty() ? std::vector<double>(units->size()) : lives_in(lives);
    if (left.size() != units->size())
      throw BadInput(fmt::format("{} holds {} lives for {} units", lives, left.size(), units->size()));
    for (std::size_t unit = 0; unit < units->size(); ++unit) {
      const auto [from, to] = (*units)[unit];
      for (auto row = from; row < to; ++row)
        truth.first.push_back(left[unit] + histories->age[to - 1] - histories->age[row]);
    }
  } else {
    truth.first = numbers(model.target);
  }
  return truth;
}

void keep_last(const ml::UnitHistories& histories, Truth& truth, std::vector<Judged>& judged,
               std::vector<std::string>& reasons) {
  std::size_t kept = 0;
  for (std::size_t row = 0; row < judged.size(); ++row) {
    if (row + 1 < judged.size() && histories.unit[row + 1] == histories.unit[row]) continue;
    judged[kept] = judged[row], truth.first[kept] = truth.first[row];
    if (!reasons.empty()) reasons[kept] = reasons[row];
    ++kept;
  }
  judged.resize(kept), truth.first.resize(kept);
  if (!reasons.empty()) reasons.resize(kept);
}

namespace {

/// A share a column, or nothing of models that have none.
std::vector<double> shares_of(const ml::MaintenanceModel::Any& model, std::span<const double> row) {
  return std::visit(
      [&](const auto& each) -> std::vector<double> {
        if constexpr (requires { each.explain(row); }) {
          return each.explain(row);
        } else {
          return {};
        }
      },
      model);
}

std::string loudest(std::span<const double> shares, const std::vector<std::string>& names) {
  std::vector<std::size_t> order(shares.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](auto a, auto b) { return std::abs(shares[a]) > std::abs(shares[b]); });
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, order.size()); ++i)
    text += fmt::format("{}{} {:+.3g}", i == 0 ? "" : "; ", names[order[i]], shares[order[i]]);
  return text;
}

}  // namespace

std::vector<std::string> reasons(const ml::MaintenanceModel& model, const ml::Table& rows,
                                 const ml::UnitHistories& histories, const std::string& path) {
  std::vector<std::string> texts;
  if (const auto* life = std::get_if<ml::RemainingLife>(&model.model)) {
    const auto shares = usable(life->explain(histories), path);
    for (std::size_t row = 0; row < shares.rows(); ++row)
      texts.push_back(loudest(shares.row(row), model.recipe.names()));
    return texts;
  }
  for (std::size_t row = 0; row < rows.rows(); ++row)
    texts.push_back(loudest(shares_of(model.model, rows.row(row)), model.recipe.names()));
  return texts;
}

void write_judged(const std::string& path, const Truth& truth, const std::vector<Judged>& judged,
                  const Beside& beside) {
  OutputFile out(path);
  const bool known = !truth.first.empty() && (truth.kind != Truth::survival || !truth.second.empty());
  constexpr std::string_view kHeaders[3][2] = {
      {"prob", "label,prob"}, {"risk", "time,event,risk"}, {"pred,lo,hi", "rul,pred,lo,hi"}};
  const bool hours = beside.hours && truth.kind == Truth::failure;
  std::string line(kHeaders[truth.kind][known]);
  for (const double time : beside.survival_at) line += truth.kind == Truth::survival ? fmt::format(",s{}", time) : "";
  if (hours) line += ",time_to_failure_hours";
  out.write(line + (beside.reasons.empty() ? "\n" : ",reason\n"));
  for (std::size_t row = 0; row < judged.size(); ++row) {
    const auto& each = judged[row];
    line = known ? fmt::format("{},", truth.first[row]) : "";
    if (known && truth.kind == Truth::survival) line += fmt::format("{},", truth.second[row]);
    line += fmt::format("{:.8g}", each.value);
    if (truth.kind == Truth::life) line += fmt::format(",{:.6g},{:.6g}", each.low, each.high);
    for (const double chance : each.survival) line += fmt::format(",{:.6g}", chance);
    if (hours) line += fmt::format(",{}", ml::time_to_failure_hours(each.value));
    out.write(line + (beside.reasons.empty() ? "\n" : ",\"" + beside.reasons[row] + "\"\n"));
  }
  out.close();
}

}  // namespace wattd::cli
