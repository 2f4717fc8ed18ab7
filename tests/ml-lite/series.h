#pragma once
#include <cmath>
#include <numbers>
#include <vector>

namespace wattd::ml {

/// A season of four, a trend and a noise that is the same on every machine; references were computed on it.
inline std::vector<double> reference_series(int length) {
  std::vector<double> values;
  for (int i = 0; i < length; ++i)
    values.push_back(10 + 3 * std::sin(2 * std::numbers::pi * i / 4) + 0.05 * i + ((i * i * 7919) % 101) / 50.0);
  return values;
}

/// Load of a building, an hour a value: working days, nights, weekends and a noise of a few per cent.
inline std::vector<double> building_load(int hours, double noise = 0.03) {
  std::vector<double> values;
  unsigned state = 1;
  for (int i = 0; i < hours; ++i) {
    const int hour = i % 24, day = i / 24 % 7;
    const double shape = hour >= 7 && hour < 18 ? 1 + 0.3 * std::sin((hour - 7) * std::numbers::pi / 11) : 0.4;
    state = state * 1664525 + 1013904223;
    values.push_back(100 * (day < 5 ? shape : 0.45) * (1 + noise * ((state >> 16) / 32768.0 - 1)));
  }
  return values;
}

}  // namespace wattd::ml
