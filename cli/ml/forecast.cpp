#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "cli/ml/frame.h"
#include "cli/ml/grid.h"
#include "cli/ml/model.h"
#include "cli/ml/times.h"
#include "cli/ml/wattml.h"
#include "ml-lite/forecast/series_model.h"
#include "ml-lite/measures.h"
#include "telemetry/time.h"

namespace wattd::cli {
namespace {

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

std::size_t steps_of(std::uint32_t hours, const Grid& grid) {
  return std::max<std::size_t>(1, static_cast<std::size_t>(std::chrono::hours(hours) / grid.step));
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

struct Regressors {
  ml::Table rows;  ///< On the grid of the series and as far behind it as the file goes.
  std::vector<std::string> names;
};

/// The longest hole in a column that is bridged: a weather service tells hours, and a meter quarters.
constexpr std::chrono::hours kBridged{6};

/// What lies between two known rows no farther apart than kBridged is on a line between them.
void bridge(ml::Table& rows, std::chrono::seconds step) {
  const auto most = static_cast<std::size_t>(kBridged / step);
  for (std::size_t column = 0; column < rows.columns(); ++column) {
    std::optional<std::size_t> before;
    for (std::size_t row = 0; row < rows.rows(); ++row) {
      if (!std::isfinite(rows.at(row, column))) continue;
      if (before && row - *before > 1 && row - *before <= most) {
        const double from = rows.at(*before, column), to = rows.at(row, column);
        for (auto hole = *before + 1; hole < row; ++hole)
          rows.at(hole, column) =
              from + (to - from) * static_cast<double>(hole - *before) / static_cast<double>(row - *before);
      }
      before = row;
    }
  }
}

/// The columns of a file; those that are `wanted`, in that order, where there are any. What the file leaves out of the
/// series, or of the steps that are looked ahead, is said on standard error.
Regressors regressors_in(const std::string& path, const Grid& grid, std::size_t ahead,
                         std::vector<std::string> wanted) {
  const auto frame = read_frame(path);
  if (wanted.empty()) {
    for (const auto& column : frame.columns) {
      if (!column.is_text()) {
        wanted.push_back(column.name);
      } else if (column.name != "timestamp" && column.name != "date" && column.name != "ds") {
        fmt::print(stderr, "{}: column {} holds texts and is left out\n", path, column.name);
      }
    }
  }
  if (wanted.empty()) throw BadInput(path + ": there is no column of numbers");
  const auto times = series_of(frame, wanted.front()).times;
  const auto steps = grid.values.size() + ahead;
  const auto all = steps + static_cast<std::size_t>(kBridged / grid.step);  // What the last ones are bridged to.
  Regressors regressors{ml::Table(all, wanted.size()), std::move(wanted)};
  for (std::size_t column = 0; column < regressors.names.size(); ++column) {
    const auto& numbers = frame.column(regressors.names[column]).numbers;
    for (std::size_t step = 0; step < all; ++step) regressors.rows.at(step, column) = std::nan("");
    for (std::size_t row = 0; row < times.size(); ++row) {
      const auto place = grid.place_of(times[row]);
      if (place && *place >= 0 && static_cast<std::size_t>(*place) < all)
        regressors.rows.at(static_cast<std::size_t>(*place), column) = numbers[row];
    }
  }
  bridge(regressors.rows, grid.step);
  const auto missing = [&](std::size_t from, std::size_t to) {
    std::size_t count = 0;
    for (auto step = from; step < to; ++step)
      count += !std::ranges::all_of(regressors.rows.row(step), [](double value) { return std::isfinite(value); });
    return count;
  };
  const auto known = grid.values.size();
  if (const auto count = missing(0, known); count == known) {
    throw BadInput(fmt::format("{} knows nothing of the times of the series, from {} on", path, grid.stamp(0)));
  } else if (count != 0) {
    fmt::print(stderr, "{} leaves out {} of {} steps; nothing is learnt of those\n", path, count, known);
  }
  if (const auto count = missing(known, steps); count != 0)
    fmt::print(stderr, "{} leaves out {} of the {} steps ahead; they are taken for usual\n", path, count, ahead);
  return regressors;
}

/// Its rows from `from` on, `count` of them or as many as are known.
ml::Table rows_from(const ml::Table& table, std::size_t from, std::size_t count) {
  ml::Table rows(table.columns());
  for (auto row = from; row < std::min(from + count, table.rows()); ++row) rows.append(table.row(row));
  return rows;
}

/// A fitted model that is told one value of the series after the other, and fitted anew when it is time.
class Follower {
 public:
  Follower(const ForecastTask& task, const Grid& grid, ml::Method method)
      : task_(task),
        grid_(grid),
        method_(method),
        input_{.first = grid.first,
               .step = grid.step,
               .values = {},
               .holidays = holidays_in(task.holidays),
               .period = grid.period,
               .regressors = {},
               .regressor_names = {}} {
    if (!task.regressors.empty() && task.load.empty()) know(regressors_in(task.regressors, grid, steps_ahead(), {}));
  }

  /// Goes on to an origin, the last step that is known, by way of all before it.
  void go_to(std::size_t origin) {
    if (!model_ || origin - fitted_ >= steps_of(task_.refit_hours, grid_)) {
      model_ = usable(ml::SeriesModel::fit(method_, up_to(origin)), where(origin));
      fitted_ = refreshed_ = known_ = origin;
    } else if (origin - refreshed_ >= steps_of(task_.refresh_hours, grid_)) {
      if (const auto done = model_->refresh(up_to(origin)); !done)
        throw BadInput(where(origin) + ": " + done.error().message);
      refreshed_ = known_ = origin;
    }
    follow(origin);
  }

  /// Takes a model that was fitted before; the file goes on where it ended.
  void take(ml::SeriesModel model) {
    if (model.step() != grid_.step)
      throw BadInput(fmt::format("{}: a value each {} s, and {} has a model of one each {} s", task_.in,
                                 grid_.step.count(), task_.load, model.step().count()));
    const auto since = model.end() - grid_.first;
    // To the nearest step: months are not all of one length.
    const auto behind = std::llround(static_cast<double>(since.count()) / static_cast<double>(grid_.step.count()));
    if (grid_.period == 0 && since % grid_.step != std::chrono::seconds(0))
      throw BadInput(fmt::format("{}: its steps lie between those of {}", task_.in, task_.load));
    if (behind >= static_cast<long long>(grid_.values.size()) || behind < -1)
      throw BadInput(fmt::format("{}: {} knows the series up to {}; give a file that holds what follows, from there on",
                                 task_.in, task_.load,
                                 format_iso8601(Timestamp(model.end().time_since_epoch())).substr(0, 19)));
    if (!model.regressors().empty()) {
      if (task_.regressors.empty())
        throw BadInput(
            fmt::format("{} was fitted with {}: give --regressors", task_.load, fmt::join(model.regressors(), ", ")));
      know(regressors_in(task_.regressors, grid_, steps_ahead(), model.regressors()));
    } else if (!task_.regressors.empty()) {
      fmt::print(stderr, "{} does without regressors\n", task_.load);
    }
    known_ = static_cast<std::size_t>(behind);
    model_ = std::move(model);
    follow(grid_.values.size() - 1);
  }

  const ml::SeriesModel& model() const { return *model_; }
  std::vector<ml::Step> forecast(std::uint32_t steps) const { return model_->forecast(steps, ahead(steps)); }
  std::vector<ml::Part> explain(std::uint32_t step) const { return model_->explain(step, ahead(step)); }

 private:
  void know(Regressors regressors) {
    input_.regressors = std::move(regressors.rows), input_.regressor_names = std::move(regressors.names);
  }
  /// Behind the end of the file.
  std::size_t steps_ahead() const { return task_.protocol.empty() && task_.origins.empty() ? task_.horizon : 0; }
  const ml::SeriesInput& up_to(std::size_t origin) {
    input_.values = std::span(grid_.values).first(origin + 1);
    return input_;
  }
  std::string where(std::size_t origin) const { return fmt::format("{}: up to {}", task_.in, grid_.stamp(origin)); }
  ml::Table ahead(std::size_t steps) const { return rows_from(input_.regressors, known_ + 1, steps); }
  void follow(std::size_t origin) {
    while (known_ != origin) {
      ++known_;
      const auto regressors = rows_from(input_.regressors, known_, 1);
      model_->observe(grid_.values[known_], regressors.rows() != 0 ? regressors.row(0) : std::span<const double>{});
    }
  }

  const ForecastTask& task_;
  const Grid& grid_;
  ml::Method method_;
  ml::SeriesInput input_;
  std::optional<ml::SeriesModel> model_;
  std::size_t fitted_ = 0, refreshed_ = 0, known_ = 0;
};

/// The steps behind an origin; past the end of the file only where that is the origin.
void write_steps(OutputFile& out, const Grid& grid, std::size_t origin, const Follower& follower,
                 std::span<const ml::Step> steps, bool explain) {
  for (std::size_t h = 1; h <= steps.size(); ++h) {
    if (origin + h >= grid.values.size() && origin + 1 != grid.values.size())
      break;  // What never comes cannot be scored.
    const auto& step = steps[h - 1];
    out.write(fmt::format("{},{},{:.8g},{:.8g},{:.8g},{:.8g},{:.8g}", grid.stamp(origin), grid.stamp(origin + h),
                          step.median, step.low80, step.high80, step.low95, step.high95));
    std::string reason;
    if (explain) {
      for (const auto& [name, value] : follower.explain(static_cast<std::uint32_t>(h)))
        reason += fmt::format("{}{} {:.4g}", reason.empty() ? "" : "; ", name, value);
      reason = ",\"" + reason + "\"";
    }
    out.write(reason + "\n");
  }
}

/// What the model was worth in the weeks that it was rehearsed on.
void say_accuracy(const ml::SeriesModel& model) {
  const auto& accuracy = model.accuracy();
  if (!accuracy) return;
  fmt::print(stderr,
             "{{\"model\": \"{}\", \"mase\": {:.4f}, \"naive_mase\": {:.4f}, \"smape\": {:.3f}, \"rmse\": {:.6g}, "
             "\"regressors\": {}}}\n",
             to_string(model.method()), accuracy->mase, accuracy->naive, accuracy->smape, accuracy->rmse,
             !model.regressors().empty());
}

constexpr std::string_view kHeader = "origin,timestamp,mean,lo80,hi80,lo95,hi95";

}  // namespace

int make_forecasts(const ForecastTask& task) {
  const auto method = ml::method_of(task.model);
  if (!method) throw BadInput(fmt::format("no model is named {}; there are {}", task.model, ml::method_names()));
  const auto grid = grid_of(series_of(read_frame(task.in), task.value));
  if (!task.hourly.empty() && task.protocol != "rolling56") throw BadInput("--hourly goes with --protocol rolling56");
  const std::uint32_t horizon = task.protocol == "rolling56-hourly" ? 1 : task.horizon;
  const std::string header = std::string(kHeader) + (task.explain ? ",reason\n" : "\n");
  OutputFile out(task.out), hourly(task.hourly);
  out.write(header), hourly.write(header);
  Follower follower(task, grid, *method);
  if (!task.load.empty()) follower.take(load_model<ml::SeriesModel>(task.load));
  for (const auto& origin : origins_of(task, grid)) {
    if (task.load.empty()) follower.go_to(origin.at);
    const auto steps = follower.forecast(origin.whole ? horizon : 1);
    for (const auto& step : steps) {
      if (!std::isfinite(step.median) || !std::isfinite(step.low95) || !std::isfinite(step.high95))
        throw BadInput(fmt::format(
            "{}: what is forecast from {} on is no number: values are too large, or a model file was made up", task.in,
            grid.stamp(origin.at)));
    }
    if (origin.whole && steps.size() < horizon)
      throw BadInput(fmt::format("the {} model ends after {} steps, --horizon is {}",
                                 to_string(follower.model().method()), steps.size(), horizon));
    if (origin.whole) write_steps(out, grid, origin.at, follower, steps, task.explain);
    if (origin.next) write_steps(hourly, grid, origin.at, follower, std::span(steps).first(1), task.explain);
  }
  out.close();
  if (!task.hourly.empty()) hourly.close();
  if (task.protocol.empty() && task.origins.empty() && task.load.empty()) say_accuracy(follower.model());
  if (!task.save.empty()) save_model(task.save, follower.model());
  return 0;
}

}  // namespace wattd::cli
