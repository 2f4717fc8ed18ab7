#include "ml-lite/features/engineering.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/ml/frame.h"
#include "cli/ml/times.h"
#include "cli/ml/wattml.h"

namespace wattd::cli {

int engineer_features(const FeatureTask& task) {
  const auto frame = read_frame(task.in);
  // Which column holds the times is found as for a series; any column of numbers will do for its value.
  const auto some = std::ranges::find_if(frame.columns, [](const auto& column) { return !column.is_text(); });
  if (some == frame.columns.end()) throw BadInput(task.in + ": there is no column of numbers");
  const auto series = series_of(frame, some->name);
  ml::Dataset dataset{.times = series.times, .names = {}, .columns = {}};
  for (const auto& column : frame.columns) {
    if (column.is_text()) continue;
    dataset.names.push_back(column.name);
    dataset.columns.push_back(column.numbers);
  }
  ml::engineer(
      dataset,
      {.window = task.window, .lags = task.lags, .holidays = holidays_in(task.holidays), .seasons = task.seasons});
  OutputFile file(task.out);
  std::string line = "timestamp";
  for (const auto& name : dataset.names) line += "," + name;
  file.write(line + "\n");
  for (std::size_t row = 0; row < series.times.size(); ++row) {
    line = series.stamps[row];
    for (const auto& column : dataset.columns)
      line += std::isfinite(column[row]) ? fmt::format(",{:.10g}", column[row]) : ",";
    file.write(line + "\n");
  }
  file.close();
  return 0;
}

}  // namespace wattd::cli
