#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cli/ml/frame.h"
#include "cli/ml/maintenance_file.h"
#include "cli/ml/model.h"
#include "cli/ml/wattml.h"
#include "ml-lite/failure/maintenance_model.h"
#include "ml-lite/measures.h"
#include "ml-lite/training_rows.h"

namespace wattd::cli {
namespace {

using ml::MaintenanceModel;

bool is_survival(const MaintenanceTask& task) { return task.model == "cox"; }
bool is_life(const MaintenanceTask& task) { return task.model == "remaining-life"; }

/// `strain:Type:L=11000,M=12000` and `power:3500:9000`.
std::vector<std::string> split_at(const std::string& text, char mark) {
  std::vector<std::string> parts;
  for (std::size_t from = 0;;) {
    const auto to = text.find(mark, from);
    parts.push_back(text.substr(from, to - from));
    if (to == std::string::npos) return parts;
    from = to + 1;
  }
}

double number_in(const std::string& text, const std::string& option) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value))
    throw BadInput(fmt::format("{}: {:?} is no number", option, text));
  return value;
}

ml::RecipeOptions recipe_options(const MaintenanceTask& task) {
  ml::RecipeOptions options{.ignore = task.ignore};
  for (const auto& name : {task.target, task.event}) {
    if (!name.empty()) options.ignore.push_back(name);
  }
  if (is_survival(task)) options.ignore.push_back(task.time);
  if (is_life(task)) options.ignore.insert(options.ignore.end(), {task.unit, task.age});
  for (const auto& text : task.reference) {
    const auto parts = split_at(text, '=');
    if (parts.size() != 2) throw BadInput(fmt::format("--reference {}: expected COLUMN=CLASS", text));
    options.reference[parts[0]] = parts[1];
  }
  for (const auto& text : task.limits) {
    const auto parts = split_at(text, ':');
    if (parts.size() != 3) throw BadInput(fmt::format("--limit {}: expected COLUMN:CLASS COLUMN:CLASS=LIMIT,…", text));
    ml::RatedLimit limit{parts[0], parts[1], {}};
    for (const auto& pair : split_at(parts[2], ',')) {
      const auto sides = split_at(pair, '=');
      if (sides.size() != 2) throw BadInput(fmt::format("--limit {}: {} is not CLASS=LIMIT", text, pair));
      limit.limits[sides[0]] = number_in(sides[1], "--limit");
      if (limit.limits[sides[0]] <= 0) throw BadInput(fmt::format("--limit {}: a limit is above 0", text));
    }
    options.limits.push_back(std::move(limit));
  }
  for (const auto& text : task.bands) {
    const auto parts = split_at(text, ':');
    if (parts.size() != 3) throw BadInput(fmt::format("--band {}: expected COLUMN:LOW:HIGH", text));
    options.bands.push_back({parts[0], number_in(parts[1], "--band"), number_in(parts[2], "--band")});
  }
  return options;
}

/// What a model is fitted on and asked about.
struct Training {
  ml::Table rows;
  std::vector<double> target, event;
  ml::UnitHistories histories;
};

MaintenanceModel::Any fit_on(const MaintenanceTask& task, const Training& training, const std::string& path) {
  if (task.model == "cox")
    return usable(
        ml::Cox::fit(training.rows, training.target, training.event,
                     {.ties = task.ties == "efron" ? ml::Ties::efron : ml::Ties::breslow, .ridge = task.ridge}),
        path);
  if (task.model == "remaining-life")
    return usable(ml::RemainingLife::fit(training.histories, {.cap = task.cap, .seed = task.seed}), path);
  if (task.model == "failure")
    return usable(ml::FailureCommittee::fit(training.rows, training.target, task.seed), path);
  const bool flag = std::ranges::all_of(training.target, [](double value) { return value == 0 || value == 1; });
  if (task.model == "gradient-boosting")
    return usable(ml::GradientBoosting::fit(training.rows, training.target,
                                            {.loss = flag ? ml::Loss::logistic : ml::Loss::squared, .seed = task.seed}),
                  path);
  return usable(ml::RandomForest::fit(training.rows, training.target, {.seed = task.seed}), path);
}

Training training_of(const MaintenanceModel& model, const Frame& frame, const MaintenanceTask& task) {
  Training training;
  if (is_life(task)) {
    training.histories = usable(model.histories(frame.columns), frame.path);
    return training;
  }
  training.rows = usable(model.recipe.rows(frame.columns), frame.path);
  training.target = frame.column(is_survival(task) ? task.time : task.target).numbers;
  if (is_survival(task)) training.event = frame.column(task.event).numbers;
  return training;
}

Training picked(const Training& training, std::span<const std::uint32_t> rows) {
  Training part;
  if (training.histories.unit.empty()) {
    part.rows = ml::pick(training.rows, rows);
    part.target = ml::pick(training.target, rows);
    if (!training.event.empty()) part.event = ml::pick(training.event, rows);
    return part;
  }
  part.histories.sensors = ml::pick(training.histories.sensors, rows);
  for (const auto row : rows)
    part.histories.unit.push_back(training.histories.unit[row]),
        part.histories.age.push_back(training.histories.age[row]);
  return part;
}

/// Every row is judged by a model that has not seen its fold (its unit, where there are units).
std::vector<Judged> cross_validated(const MaintenanceTask& task, const Training& training, const std::string& path) {
  const bool life = is_life(task);
  const auto count = life ? training.histories.unit.size() : training.target.size();
  std::vector<std::uint32_t> groups(count);
  std::iota(groups.begin(), groups.end(), 0U);
  const auto fold_of = ml::folds_of(life ? std::span<const std::uint32_t>(training.histories.unit) : groups,
                                    life                ? std::span<const double>{}
                                    : is_survival(task) ? training.event
                                                        : training.target,
                                    task.folds, task.seed);
  std::vector<Judged> all(count);
  for (std::uint32_t fold = 0; fold < task.folds; ++fold) {
    std::vector<std::uint32_t> seen, unseen;
    for (std::uint32_t row = 0; row < count; ++row) (fold_of[row] == fold ? unseen : seen).push_back(row);
    if (seen.empty() || unseen.empty()) throw BadInput(fmt::format("{}: too few rows for {} folds", path, task.folds));
    MaintenanceModel partial;
    partial.model = fit_on(task, picked(training, seen), path);
    const auto part = picked(training, unseen);
    const auto judged = judge(partial, part.rows, part.histories, task.survival_at, path);
    for (std::size_t i = 0; i < unseen.size(); ++i) all[unseen[i]] = judged[i];
  }
  return all;
}

void say_measures(const MaintenanceTask& task, const Truth& truth, const std::vector<Judged>& judged) {
  std::vector<double> value, low, high;
  for (const auto& each : judged) value.push_back(each.value), low.push_back(each.low), high.push_back(each.high);
  if (is_survival(task)) {
    fmt::print(stderr, "{{\"concordance\": {:.5f}}}\n", ml::concordance(truth.first, truth.second, value));
  } else if (is_life(task)) {
    std::vector<double> capped;
    for (const double life : truth.first) capped.push_back(std::min(life, task.cap));
    fmt::print(stderr, "{{\"rmse\": {:.4f}, \"mae\": {:.4f}, \"coverage\": {:.4f}}}\n",
               ml::root_mean_squared_error(capped, value), ml::mean_absolute_error(capped, value),
               ml::coverage(capped, low, high));
  } else {
    if (!std::ranges::all_of(truth.first, [](double each) { return each == 0 || each == 1; })) {
      fmt::print(stderr, "{{\"rmse\": {:.6g}, \"mae\": {:.6g}}}\n", ml::root_mean_squared_error(truth.first, value),
                 ml::mean_absolute_error(truth.first, value));
      return;
    }
    const auto at_half = ml::confusion(truth.first, value, 0.5);
    fmt::print(stderr,
               "{{\"pr_auc\": {:.5f}, \"roc_auc\": {:.5f}, \"precision\": {:.4f}, \"recall\": {:.4f}, \"f1_score\": "
               "{:.4f}, \"brier\": {:.6f}, \"calibration_error\": {:.6f}}}\n",
               ml::pr_auc(truth.first, value), ml::roc_auc(truth.first, value), at_half.precision(), at_half.recall(),
               at_half.f1(), ml::brier(truth.first, value), ml::calibration_error(truth.first, value));
  }
}

void say_model(const MaintenanceModel& model) {
  for (const auto& text : model.recipe.left_out()) fmt::print(stderr, "left out {}\n", text);
  const auto* cox = std::get_if<ml::Cox>(&model.model);
  if (cox == nullptr) return;
  for (std::size_t i = 0; i < cox->coefficients().size(); ++i)
    fmt::print("{} {:.8g} se {:.8g}\n", model.recipe.names()[i], cox->coefficients()[i], cox->standard_errors()[i]);
  fmt::print("log-likelihood {:.8g}\n", cox->log_likelihood());
}

}  // namespace

int fit_maintenance(const MaintenanceTask& task) {
  if (is_survival(task) && task.event.empty()) throw BadInput("cox needs --time and --event");
  if (!is_survival(task) && !is_life(task) && task.target.empty()) throw BadInput(task.model + " needs --target");
  if (task.folds == 0 && task.file.empty() && !is_survival(task))
    throw BadInput("nothing would come of this: give --save, or --folds");
  if (task.folds == 0 && !task.predictions.empty()) throw BadInput("--predictions are made of --folds");
  auto frame = read_frame(task.in);
  if (is_survival(task)) {
    // As survival analysis has it: complete cases.
    const auto all = frame.rows();
    frame = complete_rows(frame, task.ignore);
    if (frame.rows() < all) fmt::print(stderr, "left out {} of {} rows with an empty cell\n", all - frame.rows(), all);
    if (frame.rows() == 0)
      throw BadInput(task.in + ": every row has an empty cell; --ignore the columns that are mostly empty");
  }
  MaintenanceModel model;
  model.target = is_survival(task) ? task.time : task.target;
  model.event = task.event;
  if (is_life(task)) model.unit = task.unit, model.age = task.age;
  const bool flag = !is_survival(task) && !is_life(task);
  const std::vector<double> none;
  model.recipe =
      usable(ml::Recipe::learn(frame.columns, recipe_options(task), flag ? frame.column(task.target).numbers : none),
             frame.path);
  const auto training = training_of(model, frame, task);
  if (task.folds > 1) {
    const auto judged = cross_validated(task, training, frame.path);
    const auto truth = truth_of(model, frame, "", false);
    say_measures(task, truth, judged);
    if (!task.predictions.empty())
      write_judged(task.predictions, truth, judged, {.survival_at = task.survival_at, .reasons = {}});
  }
  model.model = fit_on(task, training, frame.path);
  say_model(model);
  if (!task.file.empty()) save_model(task.file, model);
  return 0;
}

namespace {

/// Errors: throws BadInput for a model of something else than failures.
void check_probabilities(const MaintenanceModel& model, const ml::Table& rows, const std::string& path) {
  const auto said = model.probabilities(rows);
  if (said.empty() || !std::ranges::all_of(said, [](double each) { return each >= 0 && each <= 1; }))
    throw BadInput(fmt::format("{} holds a model of kind {} that says no probability", path, model.kind()));
}

}  // namespace

int predict_maintenance(const MaintenanceTask& task) {
  const auto model = load_model<MaintenanceModel>(task.file);
  if (!task.model.empty() && task.model != model.kind() &&
      !(task.model == "failure" && model.kind() == ml::FailureCommittee::kKind))
    throw BadInput(fmt::format("{} holds a model of kind {}, --model says {}", task.file, model.kind(), task.model));
  const auto frame = read_frame(task.in);
  const bool life = std::holds_alternative<ml::RemainingLife>(model.model);
  ml::UnitHistories histories;
  ml::Table rows;
  if (life) {
    histories = usable(model.histories(frame.columns), frame.path);
  } else {
    rows = usable(model.recipe.rows(frame.columns), frame.path);
  }
  if (task.hours) check_probabilities(model, rows, task.file);
  auto judged = judge(model, rows, histories, task.survival_at, frame.path);
  auto truth = truth_of(model, frame, task.lives, true);
  auto why = task.explain ? reasons(model, rows, histories, frame.path) : std::vector<std::string>{};
  if (life && (task.last || !task.lives.empty())) keep_last(histories, truth, judged, why);
  write_judged(task.out, truth, judged, {task.survival_at, std::move(why), task.hours});
  return 0;
}

int calibrate_maintenance(const MaintenanceTask& task) {
  auto model = load_model<MaintenanceModel>(task.file);
  const auto frame = read_frame(task.in);
  const auto rows = usable(model.recipe.rows(frame.columns), frame.path);
  check_probabilities(model, rows, task.file);
  const auto& failed = frame.column(task.target.empty() ? model.target : task.target).numbers;
  const auto say = [&](std::string_view when) {
    const auto probability = model.probabilities(rows);
    fmt::print(
        stderr,
        "{{\"{}\": {{\"brier\": {:.6f}, \"calibration_error\": {:.6f}, \"expected\": {:.2f}, \"failures\": {}}}}}\n",
        when, ml::brier(failed, probability), ml::calibration_error(failed, probability),
        std::accumulate(probability.begin(), probability.end(), 0.0),
        std::accumulate(failed.begin(), failed.end(), 0.0));
  };
  say("before");
  model.calibration = {};  // What it had been calibrated to before does not add up.
  model.calibration = usable(ml::Calibration::fit(model.probabilities(rows), failed), frame.path);
  say("after");
  save_model(task.out, model);
  return 0;
}

}  // namespace wattd::cli
