#include "ml-lite/forecast/choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cli/ml/frame.h"
#include "cli/ml/wattml.h"
#include "ml-lite/measures.h"
#include "telemetry/csv.h"
#include "telemetry/time.h"

namespace wattd::cli {
namespace {

/// A series on its grid: every step has a place, what the file leaves out is NaN.
struct Grid {
  ml::LocalTime first;
  std::chrono::seconds step;
  std::vector<double> values;
  std::vector<std::string> stamps;  ///< As the file has them; what it leaves out is written the same way.

  std::string stamp(std::size_t index) const {
    if (index < stamps.size() && !stamps[index].empty()) return stamps[index];
    const auto at = first + step * static_cast<std::int64_t>(index);
    const auto text = format_iso8601(Timestamp(at.time_since_epoch()));
    return text.substr(0, 10) + " " + text.substr(11, 8);
  }
};

Grid grid_of(const SeriesFile& series) {
  std::vector<double> gaps;
  for (std::size_t i = 1; i < series.times.size(); ++i) {
    gaps.push_back(static_cast<double>((series.times[i] - series.times[i - 1]).count()));
    if (gaps.back() <= 0)
      throw BadInput(fmt::format("{}:{}: {} is not after the row before; sort the rows and keep one of each time",
                                 series.path, i + 2, series.stamps[i]));
  }
  if (gaps.empty()) throw BadInput(series.path + ": one row is no series");
  Grid grid{.first = series.times.front(),
            .step = std::chrono::seconds(static_cast<std::int64_t>(ml::median(gaps))),
            .values = {},
            .stamps = {}};
  for (std::size_t i = 0; i < series.times.size(); ++i) {
    const auto since = series.times[i] - grid.first;
    const auto index = static_cast<std::size_t>(since / grid.step);
    if (since % grid.step != std::chrono::seconds(0))
      throw BadInput(fmt::format("{}:{}: {} lies between the steps of {} s", series.path, i + 2, series.stamps[i],
                                 grid.step.count()));
    if (index > 50 * series.times.size())
      throw BadInput(fmt::format("{}:{}: {} lies far behind the others", series.path, i + 2, series.stamps[i]));
    grid.values.resize(index + 1, std::nan("")), grid.stamps.resize(index + 1);
    grid.values[index] = series.values[i], grid.stamps[index] = series.stamps[i];
  }
  return grid;
}

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
  ml::SeriesInput input{.first = grid.first, .step = grid.step, .values = {}, .holidays = holidays_in(task.holidays)};
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
