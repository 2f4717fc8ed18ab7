// What the models cost alone, on one core. Each line is a name and a number. `ml speed` needs nothing; `ml rows FILE`
// and `ml sarima FILE` read rows (the last column is the target) and a series (one number a line).
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <string>

#include "ml-lite/anomaly/isolation_forest.h"
#include "ml-lite/failure/random_forest.h"
#include "ml-lite/forecast/sarima.h"
#include "ml-lite/model_file.h"
#include "ml-lite/random.h"
#include "ml-lite/stream/detector.h"
#include "ml-lite/trees/boosting.h"
#include "telemetry/csv.h"

namespace {

using namespace wattd;
using namespace wattd::ml;

/// The quickest of some runs, in seconds: what the machine does beside it only adds.
double seconds(const std::function<void()>& work, int times = 5) {
  double best = 1e300;
  for (int i = 0; i < times; ++i) {
    const auto began = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
  }
  return best;
}

void say(const char* name, double value) { fmt::print("{} {:.6g}\n", name, value); }

/// The highest that the whole process has been.
double peak_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "VmHWM:" && status >> word) return std::stod(word) / 1024;
  }
  return 0;
}

/// Seven days of a motor at five seconds: voltage, current, power and temperature.
Table motor() {
  Random random(1);
  Table rows(120'960, 4);
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    const double load = 1 + 0.5 * std::sin(static_cast<double>(i) / 2750) + 0.05 * random.normal();
    const double row[] = {230 + random.normal(), load, 230 * load + random.normal(), 40 + 10 * load + random.normal()};
    std::ranges::copy(row, rows.row(i).begin());
  }
  return rows;
}

void speed() {
  const auto rows = motor();
  IsolationForest forest;
  say("iforest.fit", 1e3 * seconds([&] { forest = *IsolationForest::fit(rows); }));
  double sum = 0;
  say("iforest.score", 1e6 / static_cast<double>(rows.rows()) * seconds([&] { sum += forest.score(rows)[0]; }));
  constexpr std::size_t kAlone = 20'000;
  say("iforest.one", 1e6 / kAlone * seconds([&] {
                       for (std::size_t i = 0; i < kAlone; ++i) sum += forest.score(rows.row(i));
                     }));
  say("iforest.model", static_cast<double>(encode(forest).size()) / 1e3);
  std::vector<StreamDetector> detectors(10);
  const auto start = LocalTime(std::chrono::seconds(1'770'595'200));
  say("stream", 1e6 / static_cast<double>(rows.rows()) * seconds([&] {
                  for (std::size_t i = 0; i < rows.rows(); ++i)
                    sum += detectors[i % 10].judge(start + std::chrono::seconds(5 * i), rows.at(i, 2)).score;
                }));
  say("stream.state", static_cast<double>(sizeof(StreamDetector)));
  say("speed.peak", peak_mb());
  say("sum", sum);  // So that nothing is left out as unused.
}

void on_rows(const std::string& path) {
  TextLines lines(path);
  std::string line;
  lines.next(line);
  Table rows(split_csv(line).size() - 1);
  std::vector<double> target, row;
  while (lines.next(line)) {
    row.clear();
    for (const auto cell : split_csv(line)) row.push_back(std::stod(std::string(cell)));
    target.push_back(row.back());
    rows.append(std::span(row).first(rows.columns()));
  }
  RandomForest forest;
  GradientBoosting boosted;
  say("rf.fit", seconds([&] { forest = *RandomForest::fit(rows, target, {.trees = 300}); }, 3));
  say("rf.row", 1e6 / static_cast<double>(rows.rows()) * seconds([&] { (void)forest.predict(rows); }));
  say("gb.fit", seconds([&] {
        boosted = *GradientBoosting::fit(rows, target, {.loss = Loss::logistic, .trees = 200, .depth = 4});
      }));
  say("gb.row", 1e6 / static_cast<double>(rows.rows()) * seconds([&] { (void)boosted.predict(rows); }, 20));
  say("trees.peak", peak_mb());
}

void sarima(const std::string& path) {
  std::ifstream file(path);
  std::vector<double> values;
  for (double value; file >> value;) values.push_back(value);
  Result<Sarima> model = fail(ErrorKind::retry, "");
  say("sarima.fit", seconds([&] { model = Sarima::fit(values, {.start_variance = 1e6}); }, 3));
  say("sarima.peak", peak_mb());
  say("sarima.likelihood", model->log_likelihood());
  say("sarima.exact", Sarima::fit(values)->log_likelihood());
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "speed") speed();
  else if (what == "rows" && argc > 2) on_rows(argv[2]);
  else if (what == "sarima" && argc > 2) sarima(argv[2]);
  else return 2;
  return 0;
}
