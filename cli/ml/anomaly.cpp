#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "cli/ml/frame.h"
#include "cli/ml/grid.h"
#include "cli/ml/model.h"
#include "cli/ml/wattml.h"
#include "ml-lite/anomaly/outlier_model.h"
#include "ml-lite/anomaly/seasonal_esd.h"
#include "ml-lite/forecast/series_input.h"
#include "ml-lite/measures.h"
#include "ml-lite/stream/detector.h"
#include "telemetry/time.h"

namespace wattd::cli {
namespace {

/// What is said of a value.
struct Verdict {
  double score = 0;
  double rate = std::nan("");  ///< Share of the usual that scores as high, where the model knows.
  bool anomaly = false;
  double expected = std::nan("");
  std::string reason;
};

double interval_s(const SeriesFile& series) {
  std::vector<double> gaps;
  for (std::size_t i = 1; i < series.times.size(); ++i)
    gaps.push_back(static_cast<double>((series.times[i] - series.times[i - 1]).count()));
  return gaps.empty() ? 3600 : std::max(1.0, ml::median(gaps));
}

std::vector<Verdict> stream(const SeriesFile& series, const AnomalyTask& task) {
  auto detector = task.load.empty() ? ml::StreamDetector() : load_model<ml::StreamDetector>(task.load);
  if (!task.load.empty() && detector.rows() != 0) {
    if (series.times.front() <= detector.end())
      throw BadInput(fmt::format("{}: {} has seen the series up to {}; give a file that goes on behind it", task.in,
                                 task.load,
                                 format_iso8601(Timestamp(detector.end().time_since_epoch())).substr(0, 19)));
    const double ratio = interval_s(series) / detector.interval_s();
    if (series.times.size() > 2 && (ratio > 1.5 || ratio < 0.67))
      throw BadInput(fmt::format("{}: a value each {} s, and {} knows a series of one each {:.0f} s", task.in,
                                 interval_s(series), task.load, detector.interval_s()));
  }
  const double threshold = task.threshold > 0      ? task.threshold
                           : task.false_alarms > 0 ? ml::StreamDetector::score_at(task.false_alarms)
                                                   : ml::StreamDetector::kAlarm;
  std::vector<Verdict> verdicts;
  for (std::size_t i = 0; i < series.values.size(); ++i) {
    const auto judgement = detector.judge(series.times[i], series.values[i]);
    verdicts.push_back({.score = judgement.score,
                        .rate = ml::StreamDetector::false_alarm_rate(judgement.score),
                        .anomaly = judgement.score >= threshold,
                        .expected = judgement.expected,
                        .reason = judgement.score > 0 ? std::string(to_string(judgement.most)) : ""});
  }
  if (!task.save.empty()) save_model(task.save, detector);
  return verdicts;
}

/// The highest value of each day.
std::vector<double> daily_highs(const SeriesFile& series, std::span<const double> values) {
  std::vector<double> highs;
  std::chrono::local_days day{};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto here = std::chrono::floor<std::chrono::days>(series.times[i]);
    if (i == 0 || here != day) highs.push_back(values[i]);
    day = here, highs.back() = std::max(highs.back(), values[i]);
  }
  return highs;
}

double least_level(const SeriesFile& series, std::span<const double> values, const std::string& level) {
  if (level.empty()) return -HUGE_VAL;
  auto highs = daily_highs(series, values);
  return ml::quantile(std::move(highs), level == "med_max" ? 0.5 : level == "p95" ? 0.95 : 0.99);
}

std::vector<Verdict> seasonal(const SeriesFile& series, const AnomalyTask& task) {
  const double interval = interval_s(series);
  const auto day = static_cast<std::uint32_t>(std::max(1.0, std::round(86400 / interval)));
  const ml::SeasonalEsdOptions options{.period = task.period != 0 ? task.period
                                                 : day > 1        ? day
                                                                  : 7,
                                       .most = task.most,
                                       .direction = task.direction == "both"    ? ml::Direction::both
                                                    : task.direction == "above" ? ml::Direction::above
                                                                                : ml::Direction::below};
  const auto values = ml::fill_gaps(series.values, options.period);
  const auto distances = usable(ml::seasonal_distances(values, options), series.path);
  const auto outliers = usable(ml::seasonal_esd(values, options), series.path);
  std::vector<Verdict> verdicts(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) verdicts[i].score = distances[i];
  const double least = least_level(series, values, task.level);
  const auto length = task.only_last == "day"    ? std::chrono::seconds(86400)
                      : task.only_last == "hour" ? std::chrono::seconds(3600)
                                                 : std::chrono::seconds(0);
  const auto from = length.count() != 0 ? series.times.back() - length : series.times.front() - std::chrono::seconds(1);
  for (const auto& outlier : outliers) {
    const bool counts = values[outlier.index] >= least && series.times[outlier.index] > from;
    verdicts[outlier.index].anomaly = counts;
    verdicts[outlier.index].expected = outlier.expected;
    verdicts[outlier.index].reason = values[outlier.index] > outlier.expected ? "above" : "below";
  }
  return verdicts;
}

/// Columns for each value: itself, its step, how far it is from the day before and from the mean of the day, and the
/// hour.
std::vector<ml::Column> columns_of(const SeriesFile& series, std::span<const double> values) {
  const auto day = static_cast<std::size_t>(std::max(1.0, std::round(86400 / interval_s(series))));
  std::vector<ml::Column> columns;
  for (const char* name : {"value", "step", "day before", "day's mean", "hour's sine", "hour's cosine"})
    columns.push_back({name, {}, {}});
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum += values[i] - (i >= day ? values[i - day] : 0);
    const double mean = sum / static_cast<double>(std::min(i + 1, day));
    const double angle = ml::calendar_at(series.times[i]).hour_share / 12 * std::numbers::pi;
    const double row[] = {values[i],
                          i > 0 ? values[i] - values[i - 1] : 0,
                          i >= day ? values[i] - values[i - day] : 0,
                          values[i] - mean,
                          std::sin(angle),
                          std::cos(angle)};
    for (std::size_t column = 0; column < columns.size(); ++column) columns[column].numbers.push_back(row[column]);
  }
  return columns;
}

/// The model of a file, or one that is fitted on these columns, and kept where that was asked for.
ml::OutlierModel outlier_model(const AnomalyTask& task, std::span<const ml::Column> columns,
                               std::vector<std::string> ignore) {
  if (!task.load.empty() && !task.save.empty())
    throw BadInput("--load and --save together are for a stream: a model of rows learns nothing new");
  const auto kind = task.model == "ensemble" ? ml::OutlierEnsemble::kKind : std::string_view(task.model);
  if (!task.load.empty()) {
    auto model = load_model<ml::OutlierModel>(task.load);
    if (!task.any_model && model.kind() != kind)
      throw BadInput(fmt::format("{} holds a model of kind {}, --model says {}", task.load, model.kind(), task.model));
    return model;
  }
  auto model = usable(ml::OutlierModel::fit(columns, {.ignore = std::move(ignore)},
                                            {.model = kind, .tails = task.tails, .seed = task.seed}),
                      task.in);
  if (!task.save.empty()) save_model(task.save, model);
  return model;
}

constexpr double kFalseAlarms = 0.01;

/// Rows that only a share of `false_alarms` of the usual ones are like are anomalies; the column that speaks loudest is
/// the reason.
std::vector<Verdict> judge_rows(std::span<const ml::Column> columns, const AnomalyTask& task,
                                std::vector<std::string> ignore) {
  const auto model = outlier_model(task, columns, std::move(ignore));
  const auto rows = usable(model.recipe().rows(columns), task.in);
  const double most = task.false_alarms > 0 ? task.false_alarms : kFalseAlarms;
  if (model.false_alarms().least() > most)
    fmt::print(stderr,
               "the model was fitted on too few rows to flag any at --false-alarms {}: it can tell {:.2g} and more\n",
               most, model.false_alarms().least());
  std::vector<Verdict> verdicts;
  for (const auto& [score, rate] : usable(model.judge(columns), task.in)) {
    auto& verdict = verdicts.emplace_back(score, rate, rate <= most);
    if (!verdict.anomaly || !task.explain) continue;
    const auto shares = model.explain(rows.row(verdicts.size() - 1));
    verdict.reason =
        model.recipe().names()[static_cast<std::size_t>(std::ranges::max_element(shares) - shares.begin())];
  }
  return verdicts;
}

/// The series with its holes filled, so that a season stays where it is; and where the rows of the file are in it. A
/// series whose times lie on no grid is taken row by row.
struct Whole {
  SeriesFile series;
  std::vector<std::size_t> places;
};

Whole whole_of(const SeriesFile& series) {
  Whole whole{series, {}};
  try {
    const auto grid = grid_of(series);
    whole.places = places_in(grid, series);
    whole.series.values = grid.values;
    whole.series.times.clear();
    for (std::size_t i = 0; i < grid.values.size(); ++i)
      whole.series.times.push_back(grid.first + grid.step * static_cast<std::int64_t>(i));
  } catch (const BadInput&) {
    whole = {series, {}};
    for (std::size_t i = 0; i < series.values.size(); ++i) whole.places.push_back(i);
  }
  return whole;
}

}  // namespace

int find_anomalies(const AnomalyTask& task) {
  const auto series = series_of(read_frame(task.in), task.value);
  std::vector<Verdict> verdicts;
  if (task.model == "stream") {
    verdicts = stream(series, task);
  } else {
    const auto whole = whole_of(series);
    std::vector<Verdict> all;
    if (task.model == "s-h-esd") {
      all = seasonal(whole.series, task);
    } else {
      auto explained = task;
      explained.explain = true;
      const auto day = static_cast<std::size_t>(std::max(1.0, std::round(86400 / interval_s(series))));
      all = judge_rows(columns_of(whole.series, ml::fill_gaps(whole.series.values, day)), explained, {});
    }
    for (const auto place : whole.places) verdicts.push_back(all[place]);
  }
  OutputFile out(task.out);
  out.write("timestamp,value,expected,anomaly_score,rate,anomaly,reason\n");
  const auto number = [](double value, int digits = 10) {
    return std::isfinite(value) ? fmt::format("{:.{}g}", value, digits) : std::string{};
  };
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    out.write(fmt::format("{},{},{},{:.8g},{},{},{}\n", series.stamps[i], number(series.values[i]),
                          number(verdicts[i].expected), verdicts[i].score, number(verdicts[i].rate, 4),
                          verdicts[i].anomaly ? 1 : 0, verdicts[i].reason));
  }
  out.close();
  return 0;
}

int find_anomalies_in_table(const AnomalyTask& task) {
  const auto frame = read_frame(task.in);
  auto ignore = task.ignore;
  const auto* label = frame.find(task.label.empty() ? "label" : task.label);
  if (label != nullptr) ignore.push_back(label->name);
  if (label == nullptr && !task.label.empty())
    throw BadInput(fmt::format("{}: there is no column {}", task.in, task.label));
  const auto verdicts = judge_rows(frame.columns, task, std::move(ignore));
  OutputFile out(task.out);
  out.write(
      fmt::format("{},score,rate,anomaly{}\n", label != nullptr ? "label" : "row", task.explain ? ",reason" : ""));
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    const auto first = label == nullptr   ? fmt::format("{}", i + 1)
                       : label->is_text() ? label->texts[i]
                                          : fmt::format("{}", label->numbers[i]);
    out.write(fmt::format("{},{:.8g},{},{}", first, verdicts[i].score,
                          std::isfinite(verdicts[i].rate) ? fmt::format("{:.4g}", verdicts[i].rate) : "",
                          verdicts[i].anomaly ? 1 : 0));
    out.write(task.explain ? fmt::format(",\"{}\"\n", verdicts[i].reason) : "\n");
  }
  out.close();
  return 0;
}

}  // namespace wattd::cli
