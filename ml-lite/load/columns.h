#pragma once
#include "ml-lite/load/state.h"

namespace wattd::ml::load {

inline constexpr std::size_t kColumns = 42;
inline constexpr std::size_t kCloseColumns = kColumns + 24;

/// What trees are told of target s, `h` hours before: the calendar, what is known of hours like it, the latest hours,
/// and `line`, a forecast. But for hour, weekday and h all are distances from the last week's mean, so that a shift of
/// the level teaches nothing false. Shape: kColumns numbers.
void look(const State& state, std::size_t s, std::size_t h, double line, double* columns);

/// The same an hour before, and more of what happened at this hour. Shape: kCloseColumns numbers.
void look_closely(const State& state, std::size_t s, double line, double* columns);

}  // namespace wattd::ml::load
