#include "cli/ml/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ml-lite/measures.h"
#include "telemetry/time.h"

namespace wattd::cli {
namespace {

using std::chrono::days;
using std::chrono::seconds;

std::int64_t month_of(ml::LocalTime at) {
  const std::chrono::year_month_day date(std::chrono::floor<days>(at));
  return static_cast<int>(date.year()) * 12 + static_cast<int>(static_cast<unsigned>(date.month())) - 1;
}

/// Whether all rows stand at the same day of months, or at their last one.
bool is_monthly(const SeriesFile& series, double gap) {
  if (gap < 28 * 86400.0 || gap > 31 * 86400.0) return false;
  const std::chrono::year_month_day first(std::chrono::floor<days>(series.times.front()));
  const auto is_last = [](const std::chrono::year_month_day& date) {
    return date.day() == (date.year() / date.month() / std::chrono::last).day();
  };
  return std::ranges::all_of(series.times, [&](ml::LocalTime at) {
    const std::chrono::year_month_day date(std::chrono::floor<days>(at));
    return date.day() == first.day() || (is_last(date) && is_last(first));
  });
}

/// Whether clocks are set back at about this time: a night before a Sunday's fourth hour in October, November or (south
/// of the equator) April. Local times come twice then.
bool is_set_back(ml::LocalTime at) {
  const auto day = std::chrono::floor<days>(at);
  const std::chrono::year_month_day date(day);
  const bool month = date.month() == std::chrono::October || date.month() == std::chrono::November ||
                     date.month() == std::chrono::April;
  return month && std::chrono::weekday(day) == std::chrono::Sunday && at - day < std::chrono::hours(4);
}

}  // namespace

std::optional<std::int64_t> Grid::place_of(ml::LocalTime at) const {
  if (period != 0) return month_of(at) - month_of(first);
  if ((at - first) % step != seconds(0)) return std::nullopt;
  return (at - first) / step;
}

std::string Grid::stamp(std::size_t index) const {
  if (index < stamps.size() && !stamps[index].empty()) return stamps[index];
  auto at = first + step * static_cast<std::int64_t>(index);
  if (period != 0) {
    const std::chrono::year_month_day date(std::chrono::floor<days>(first));
    const auto month = std::chrono::year_month(date.year(), date.month()) + std::chrono::months(index);
    const auto last = std::chrono::year_month_day(month / std::chrono::last);
    const bool ends = date.day() == (date.year() / date.month() / std::chrono::last).day();
    const auto day = ends || date.day() > last.day() ? last : std::chrono::year_month_day(month / date.day());
    at = ml::LocalTime(std::chrono::local_days(day)) + (first - std::chrono::floor<days>(first));
  }
  // 2026-02-07T11:26:00Z, cut down and joined as the file's own stamps are.
  auto text = format_iso8601(Timestamp(at.time_since_epoch()));
  text.resize(std::min<std::size_t>(text.size(), stamps.front().size() == 10 ? 10 : 19));
  if (text.size() > 10) text[10] = stamps.front().size() > 10 ? stamps.front()[10] : ' ';
  return text;
}

Grid grid_of(const SeriesFile& series) {
  std::vector<double> gaps;
  for (std::size_t i = 1; i < series.times.size(); ++i) {
    gaps.push_back(static_cast<double>((series.times[i] - series.times[i - 1]).count()));
    if (gaps.back() <= 0 && !(gaps.back() >= -3600 && is_set_back(series.times[i])))
      throw BadInput(fmt::format("{}:{}: {} is not after the row before; sort the rows and keep one of each time",
                                 series.path, i + 2, series.stamps[i]));
  }
  if (gaps.empty()) throw BadInput(series.path + ": one row is no series");
  std::erase_if(gaps, [](double each) { return each <= 0; });
  if (gaps.empty()) throw BadInput(series.path + ": rows of one time are no series");
  const double gap = ml::median(gaps);
  Grid grid{.first = series.times.front(),
            .step = seconds(static_cast<std::int64_t>(gap)),
            .period = 0,
            .values = {},
            .stamps = {}};
  if (is_monthly(series, gap)) grid.period = 12, grid.step = seconds(2'629'746);
  const auto places = places_in(grid, series);
  const auto last = std::ranges::max(places);
  if (last > 50 * series.times.size())
    throw BadInput(fmt::format("{}: the last row lies far behind the others", series.path));
  grid.values.resize(last + 1, std::nan("")), grid.stamps.resize(last + 1);
  // An hour that came twice is the mean of both: as much as is usual at that hour.
  std::vector<int> known(grid.values.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    auto& value = grid.values[places[i]];
    grid.stamps[places[i]] = series.stamps[i];
    if (!std::isfinite(series.values[i])) continue;
    const int count = ++known[places[i]];
    value = count == 1 ? series.values[i] : value + (series.values[i] - value) / count;
  }
  return grid;
}

std::vector<std::size_t> places_in(const Grid& grid, const SeriesFile& series) {
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < series.times.size(); ++i) {
    const auto place = grid.place_of(series.times[i]);
    if (!place)
      throw BadInput(fmt::format("{}:{}: {} lies between the steps of {} s", series.path, i + 2, series.stamps[i],
                                 grid.step.count()));
    places.push_back(static_cast<std::size_t>(*place));
  }
  return places;
}

}  // namespace wattd::cli
