#include "ml-lite/forecast/choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cli/ml/frame.h"
#include "cli/ml/grid.h"
#include "cli/ml/wattml.h"
#include "ml-lite/measures.h"
#include "telemetry/csv.h"
#include "telemetry/time.h"

namespace wattd::cli {
namespace {

/// The times in a file, one a line, under a header or not; the first cell counts.
std::vector<std::string> times_in(const std::string& path) try {
  TextLines lines(path);
  std::vector<std::string> times;
  std::string line;
  while (lines.next(line)) {
    const auto cell = line.empty() ? std::string{} : std::string(split_csv(line).front());
    if (!cell.empty() && std::isdigit(static_cast<unsigned char>(cell.front()))) times.push_back(cell);
  }
  return times;
} catch (const std::runtime_error& problem) {
  throw BadInput(problem.what());
}

std::optional<ml::LocalTime> local_time(const std::string& text) {
  const auto at = parse_iso8601(text.size() == 10 ? text + " 00:00:00" : text.size() == 16 ? text + ":00" : text);
  if (!at) return std::nullopt;
  return ml::LocalTime(std::chrono::floor<std::chrono::seconds>(at->time_since_epoch()));
}

constexpr std::size_t kEightWeeks = 56 * 24, kHop = 72, kRolls = 14;

/// An origin, and which of the two files it goes to.
struct Origin {
  std::size_t at;
  bool whole = true;  ///< All steps, into --out.
  bool next = false;  ///< One step, into --hourly.
};

std::vector<Origin> rolling_origins(const ForecastTask& task, const Grid& grid) {
  const auto n = grid.values.size();
  if (grid.step != std::chrono::hours(1))
    throw BadInput(task.in + ": the protocols are for series of one value an hour");
  if (n < 2 * kEightWeeks)
    throw BadInput(fmt::format("{}: {} hours are too few for eight weeks of origins", task.in, n));
  std::vector<Origin> origins;
  const bool only_hourly = task.protocol == "rolling56-hourly";
  for (std::size_t hour = 0; hour < kEightWeeks; ++hour) {
    const bool whole = only_hourly || (hour % kHop == 0 && hour / kHop < kRolls);
    const bool next = !only_hourly && !task.hourly.empty();
    if (whole || next) origins.push_back({n - 1 - kEightWeeks + hour, whole, next});
  }
  return origins;
}

std::vector<Origin> origins_of(const ForecastTask& task, const Grid& grid) {
  if (!task.protocol.empty()) return rolling_origins(task, grid);
  std::vector<Origin> origins;
  if (task.origins.empty()) return {{grid.values.size() - 1}};
  for (const auto& text : times_in(task.origins)) {
    const auto at = local_time(text);
    if (!at || *at < grid.first || (*at - grid.first) % grid.step != std::chrono::seconds(0) ||
        static_cast<std::size_t>((*at - grid.first) / grid.step) >= grid.values.size())
      throw BadInput(fmt::format("{}: {} is no time of {}", task.origins, text, task.in));
    origins.push_back({static_cast<std::size_t>((*at - grid.first) / grid.step)});
  }
  if (origins.empty()) throw BadInput(task.origins + " holds no time");
  std::ranges::sort(origins, {}, &Origin::at);
  return origins;
}

ml::Holidays holidays_in(const std::string& path) {
  ml::Holidays holidays;
  if (path.empty()) return holidays;
  for (const auto& text : times_in(path)) {
    const auto at = local_time(text.substr(0, 10));
    if (!at) throw BadInput(fmt::format("{}: {} is no date, expected 2026-12-25", path, text));
    holidays.insert(std::chrono::floor<std::chrono::days>(*at));
  }
  return holidays;
}

/// The columns of a file, on the grid of the series and as far behind it as the file goes.
ml::Table regressors_in(const std::string& path, const Grid& grid) {
  const auto frame = read_frame(path);
  const auto some = std::ranges::find_if(frame.columns, [](const auto& column) { return !column.is_text(); });
  if (some == frame.columns.end()) throw BadInput(path + ": there is no column of numbers");
  const auto times = series_of(frame, some->name).times;
  std::vector<const ml::Column*> columns;
  for (const auto& column : frame.columns) {
    if (!column.is_text()) columns.push_back(&column);
  }
  std::map<ml::LocalTime, std::size_t> row_at;
  for (std::size_t row = 0; row < times.size(); ++row) row_at[times[row]] = row;
  const auto steps = std::max<std::size_t>(
      grid.values.size(),
      times.back() > grid.first ? static_cast<std::size_t>((times.back() - grid.first) / grid.step) + 1 : 0);
  ml::Table table(steps, columns.size());
  for (std::size_t step = 0; step < steps; ++step) {
    const auto found = row_at.find(grid.first + grid.step * static_cast<std::int64_t>(step));
    for (std::size_t column = 0; column < columns.size(); ++column)
      table.at(step, column) = found == row_at.end() ? std::nan("") : columns[column]->numbers[found->second];
  }
  return table;
}

/// The steps behind an origin; past the end of the file only where that is the origin.
void write_steps(OutputFile& out, const Grid& grid, std::size_t origin, std::span<const ml::Step> steps) {
  for (std::size_t h = 1; h <= steps.size(); ++h) {
    if (origin + h >= grid.values.size() && origin + 1 != grid.values.size())
      break;  // What never comes cannot be scored.
    const auto& step = steps[h - 1];
    out.write(fmt::format("{},{},{:.8g},{:.8g},{:.8g},{:.8g},{:.8g}\n", grid.stamp(origin), grid.stamp(origin + h),
                          step.median, step.low80, step.high80, step.low95, step.high95));
  }
}

constexpr std::string_view kHeader = "origin,timestamp,mean,lo80,hi80,lo95,hi95\n";

}  // namespace

int make_forecasts(const ForecastTask& task) {
  const auto method = ml::method_of(task.model);
  if (!method) throw BadInput(fmt::format("no model is named {}; there are {}", task.model, ml::method_names()));
  const auto grid = grid_of(series_of(read_frame(task.in), task.value));
  ml::SeriesInput input{.first = grid.first,
                        .step = grid.step,
                        .values = {},
                        .holidays = holidays_in(task.holidays),
                        .period = grid.period,
                        .regressors = {}};
  if (!task.regressors.empty()) {
    if (*method != ml::Method::additive) throw BadInput("--regressors are for --model additive");
    input.regressors = regressors_in(task.regressors, grid);
  }
  if (!task.hourly.empty() && task.protocol != "rolling56") throw BadInput("--hourly goes with --protocol rolling56");
  const std::uint32_t horizon = task.protocol == "rolling56-hourly" ? 1 : task.horizon;
  const std::size_t refit =
      std::max<std::size_t>(1, static_cast<std::size_t>(std::chrono::hours(task.refit_hours) / grid.step));
  OutputFile out(task.out), hourly(task.hourly);
  out.write(kHeader), hourly.write(kHeader);
  std::unique_ptr<ml::SeriesModel> model;
  std::size_t fitted = 0, known = 0;
  for (const auto& origin : origins_of(task, grid)) {
    if (model == nullptr || origin.at - fitted >= refit) {
      input.values = std::span(grid.values).first(origin.at + 1);
      auto fresh = ml::fit_series(*method, input);
      if (!fresh)
        throw BadInput(fmt::format("{}: up to {}: {}", task.in, grid.stamp(origin.at), fresh.error().message));
      model = std::move(*fresh), fitted = known = origin.at;
    }
    while (known < origin.at) model->observe(grid.values[++known]);
    const auto steps = model->forecast(origin.whole ? horizon : 1);
    if (origin.whole && steps.size() < horizon)
      throw BadInput(fmt::format("the {} model ends after {} steps, --horizon is {}", to_string(model->method()),
                                 steps.size(), horizon));
    if (origin.whole) write_steps(out, grid, origin.at, steps);
    if (origin.next) write_steps(hourly, grid, origin.at, std::span(steps).first(1));
  }
  out.close();
  if (!task.hourly.empty()) hourly.close();
  return 0;
}

}  // namespace wattd::cli
