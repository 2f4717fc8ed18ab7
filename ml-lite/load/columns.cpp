#include "ml-lite/load/columns.h"

#include <algorithm>
#include <cmath>

#include "ml-lite/load/neighbours.h"

namespace wattd::ml::load {
namespace {

/// Mean, deviation, highest and lowest of the last hours up to o.
struct Recent {
  double mean = 0, deviation = 0, high = -1e300, low = 1e300;

  Recent(const State& state, std::size_t o, std::size_t hours) {
    double squares = 0;
    for (std::size_t k = 0; k < hours; ++k) {
      const double z = z_at(state, static_cast<std::ptrdiff_t>(o) - static_cast<std::ptrdiff_t>(k));
      mean += z / static_cast<double>(hours), squares += z * z / static_cast<double>(hours);
      high = std::max(high, z), low = std::min(low, z);
    }
    deviation = std::sqrt(std::max(0.0, squares - mean * mean));
  }
};

}  // namespace

void look(const State& state, std::size_t s, std::size_t h, double line, double* to) {
  const Neighbours near(state, s, h);
  const auto o = near.origin;
  const double l = near.level;
  const auto target = static_cast<std::ptrdiff_t>(s), origin = static_cast<std::ptrdiff_t>(o);
  const auto back = [&](std::ptrdiff_t k) { return z_at(state, origin - k); };
  const auto day_before = target - static_cast<std::ptrdiff_t>(24 * near.days),
             week_before = target - static_cast<std::ptrdiff_t>(kWeek * near.weeks);
  const Recent three(state, o, 3), six(state, o, 6), twelve(state, o, 12), day(state, o, 24);
  const double columns[kColumns] = {
      static_cast<double>(near.slot.hour), static_cast<double>(near.slot.weekday), static_cast<double>(h), back(0) - l,
      back(1) - l, back(2) - l, back(0) - state.usual(o, state.slot(o).index()), state.mean(State::six, o) - l,
      state.mean(State::day, o) - l, l - state.mean(State::month, o),
      state.mean(State::day, o) - (o >= kWeek ? state.mean(State::day, o - kWeek) : 0), near.same_hour[0] - l,
      near.same_hour[1] - l, z_at(state, day_before - 1) - l, near.day_mean - l, near.same_week_hour[0] - l,
      near.same_week_hour[1] - l, near.week_mean - l, near.week_median - l, near.usual - l, near.usual_of_hour - l,
      line - l, line - near.usual, line - near.week_mean, line - near.same_hour[0], back(3) - l, back(4) - l,
      back(5) - l, back(22) - l, back(24) - l, back(47) - l,
      // Not beyond the origin: the hour after a day or a week before may not have come yet.
      z_at(state, std::min(week_before + 1, origin)) - l, z_at(state, std::min(day_before + 1, origin)) - l,
      three.mean - l, twelve.mean - l, six.deviation, day.deviation, day.high - l, day.low - l, back(0) - back(1),
      back(0) - back(24), back(0) - back(168)};
  std::ranges::copy(columns, to);
}

void look_closely(const State& state, std::size_t s, double line, double* to) {
  look(state, s, 1, line, to);
  to += kColumns;
  const double l = state.mean(State::week, s - 1);
  const auto z = [&](std::ptrdiff_t lag) { return z_at(state, static_cast<std::ptrdiff_t>(s) - lag); };
  for (const int lag : {7, 8, 12, 25, 48, 49, 72, 96, 120, 144, 167, 169, 336, 337, 335, 504}) *to++ = z(lag) - l;
  // What this hour's step was a day and a week ago, and on the mean of them; and how far the last hour was from its
  // neighbours then.
  double days = 0, weeks = 0;
  for (int k = 1; k <= 4; ++k) weeks += (z(168 * k) - z(168 * k + 1)) / 4;
  for (int k = 1; k <= 7; ++k) days += (z(24 * k) - z(24 * k + 1)) / 7;
  for (const double step :
       {z(24) - z(25), z(168) - z(169), z(1) - z(25), z(1) - z(169), z(24) - z(23), z(168) - z(167), weeks, days})
    *to++ = step;
}

}  // namespace wattd::ml::load
