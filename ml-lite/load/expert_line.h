#pragma once
#include <array>
#include <vector>

#include "ml-lite/load/state.h"
#include "telemetry/bytes.h"

namespace wattd::ml::load {

/// Weighs what simple experts say (the usual of the slot, means and medians of days and weeks, the last one, what was
/// off lately), by least absolute deviations: a median, as the measure asks for. A line for each stretch of hours
/// ahead. Source: Koenker, Bassett 1978 (least absolute deviations), by reweighted least squares.
class ExpertLine {
 public:
  ExpertLine() = default;
  /// Learns from the hours up to `end`.
  ExpertLine(const State& state, std::size_t end);
  /// Of target s, made `h` hours before (1 to 168). Units: of State::z.
  double forecast(const State& state, std::size_t s, std::size_t h) const;

  void write(ByteWriter& out) const;
  static ExpertLine read(ByteReader& in);

 private:
  static constexpr std::size_t kExperts = 19, kStretches = 8;
  static std::size_t stretch_of(std::size_t h);
  static void ask(const State& state, std::size_t s, std::size_t h, double* experts, double& level);

  std::array<std::array<double, kExperts>, kStretches> weights_{};
};

/// The targets that a model is fitted on, the latest 9,000, and for each how far ahead it is looked at, spread evenly
/// over a stretch. Shape: `passes` pairs of (target, hours ahead) for each.
std::vector<std::pair<std::size_t, std::size_t>> spread(std::size_t end, std::size_t from, std::size_t to,
                                                        std::size_t passes);

}  // namespace wattd::ml::load
