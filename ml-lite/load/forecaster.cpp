#include "ml-lite/load/forecaster.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"

namespace wattd::ml::load {
namespace {

/// Between rehearsed origins: no divisor of a day, so that every hour is one.
constexpr std::size_t kHop = 13;

/// What a model that knows nothing of the last weeks would have said in them. Hours that were not measured are nothing
/// that came. `rehearsed`: the same in the series' units.
Rehearsal rehearse(const State& state, const Model& model, std::size_t from, std::span<const double> values,
                   Rehearsed& rehearsed) {
  const auto end = values.size() - 1;
  Rehearsal rehearsal{.origins = {}, .end = end};
  for (auto origin = from; origin < end; origin += kHop) {
    auto& off =
        rehearsal.origins.emplace_back(origin, std::vector<double>(kWeek, std::numeric_limits<double>::quiet_NaN()))
            .off;
    for (std::size_t h = 1; h <= kWeek && origin + h <= end; ++h) {
      if (!std::isfinite(values[origin + h])) continue;
      const double actual = state.z(origin + h), forecast = model.forecast(state, origin + h, h);
      off[h - 1] = actual - forecast;
      rehearsed.steps.push_back({origin + h, origin + h - kWeek, state.scale().from(forecast)});
    }
  }
  return rehearsal;
}

}  // namespace

Result<Model> Model::fit(const State& state, const LagSums& sums, std::size_t end, Parts parts) {
  Model model;
  model.parts = parts;
  model.ridge = LagRidge(sums);
  if (parts == Parts::ridge) return model;
  model.experts = ExpertLine(state, end);
  auto correction = Correction::fit(state, model.ridge, end);
  if (!correction) return std::unexpected(correction.error());
  auto next_hour = NextHour::fit(state, model.ridge, end);
  if (!next_hour) return std::unexpected(next_hour.error());
  model.correction = std::move(*correction), model.next_hour = std::move(*next_hour);
  return model;
}

double Model::forecast(const State& state, std::size_t s, std::size_t h) const {
  const double line = ridge.forecast(state, s, h);
  if (parts == Parts::ridge) return line;
  if (h == 1) return next_hour.forecast(state, s, line);
  return (2 * line + correction.of(state, s, h, line) + experts.forecast(state, s, h)) / 3;
}

Result<State> Forecaster::state_of(LocalTime first, std::span<const double> values, const Scale& scale,
                                   const Holidays& holidays) {
  if (values.size() < kLeast)
    return fail(ErrorKind::permanent,
                fmt::format("{} hours are too few: the forecaster needs {}, about nine weeks", values.size(), kLeast));
  const auto missing =
      static_cast<std::size_t>(std::ranges::count_if(values, [](double value) { return !std::isfinite(value); }));
  if (missing > values.size() / 3)
    return fail(ErrorKind::permanent,
                fmt::format("{} of {} hours are missing, at most a third may be", missing, values.size()));
  State state(first, scale, holidays);
  for (const double value : values) state.append(value);
  return state;
}

Result<Forecaster> Forecaster::fit(LocalTime first, std::span<const double> values, const Holidays& holidays,
                                   Parts parts, Rehearsed* rehearsed) {
  auto state = state_of(first, values, Scale::of(values), holidays);
  if (!state) return std::unexpected(state.error());
  Forecaster forecaster;
  const auto end = values.size() - 1;
  // Eight weeks, or what leaves as much again to learn from.
  const auto back = std::min(kRehearsal, (values.size() - kWarm) / 2);
  LagSums sums(*state);
  sums.advance(end - back);
  auto before = Model::fit(*state, sums, end - back, parts);
  if (!before) return std::unexpected(before.error());
  Rehearsed said;
  forecaster.bands_ = Bands(*state, rehearse(*state, *before, end - back, values, said));
  if (rehearsed != nullptr) *rehearsed = std::move(said);
  sums.advance(end);
  auto model = Model::fit(*state, sums, end, parts);
  if (!model) return std::unexpected(model.error());
  forecaster.model_ = std::move(*model);
  state->trim();  // The years that were learnt from are not needed to forecast.
  forecaster.state_ = std::move(*state);
  return forecaster;
}

Result<void> Forecaster::refresh(LocalTime first, std::span<const double> values) {
  // On the scale that the bands are told in.
  auto state = state_of(first, values, state_->scale(), state_->holidays());
  if (!state) return std::unexpected(state.error());
  LagSums sums(*state);
  sums.advance(values.size() - 1);
  auto model = Model::fit(*state, sums, values.size() - 1, model_.parts);
  if (!model) return std::unexpected(model.error());
  state->trim();
  model_ = std::move(*model), state_ = std::move(*state);
  return {};
}

void Forecaster::observe(double value) {
  state_->append(value);
  if (state_->size() > 2 * State::kKept) state_->trim();
}

std::vector<Step> Forecaster::forecast(std::size_t hours) const {
  const auto& state = *state_;
  const auto end = state.size() - 1;
  std::vector<Step> steps;
  for (std::size_t h = 1; h <= std::min(hours, kWeek); ++h) {
    const double z = model_.forecast(state, end + h, h);
    const auto hour = state.slot(end + h).hour;
    const auto narrow = bands_.band(Bands::eighty, h, hour), wide = bands_.band(Bands::ninety_five, h, hour);
    const auto from = [&](double offset) { return state.scale().from(z + offset); };
    // Forecasts that were all too high leave a band below them: it is stretched to what it is the band of.
    const double low = std::min(0.0, narrow.low), high = std::max(0.0, narrow.high);
    steps.push_back({from(0), from(low), from(high), from(std::min(low, wide.low)), from(std::max(high, wide.high))});
  }
  return steps;
}

std::vector<Part> Forecaster::explain(std::size_t h) const {
  const auto& state = *state_;
  const auto end = state.size() - 1;
  const double usual = state.scale().from(state.usual(end, state.slot(end + h).index())),
               line = state.scale().from(model_.ridge.forecast(state, end + h, h)),
               all = state.scale().from(model_.forecast(state, end + h, h));
  return {{"usual", usual}, {"lately", line - usual}, {"bends", all - line}};
}

void Forecaster::write(ByteWriter& out) const {
  state_->write(out);
  bands_.write(out);
  out.byte(static_cast<std::uint8_t>(model_.parts));
  model_.ridge.write(out);
  if (model_.parts == Parts::ridge) return;
  model_.experts.write(out);
  model_.correction.write(out);
  model_.next_hour.write(out);
}

Forecaster Forecaster::read(ByteReader& in) {
  Forecaster forecaster;
  forecaster.state_ = State::read(in);
  forecaster.bands_ = Bands::read(in);
  const auto parts = in.byte();
  if (parts > static_cast<std::uint8_t>(Parts::all)) throw BadBytes("unknown parts");
  forecaster.model_.parts = static_cast<Parts>(parts);
  forecaster.model_.ridge = LagRidge::read(in);
  if (forecaster.model_.parts == Parts::ridge) return forecaster;
  forecaster.model_.experts = ExpertLine::read(in);
  forecaster.model_.correction = Correction::read(in);
  forecaster.model_.next_hour = NextHour::read(in);
  return forecaster;
}

}  // namespace wattd::ml::load
