#include "ml-lite/load/bands.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "ml-lite/model_file.h"

namespace wattd::ml::load {
namespace {

constexpr std::size_t kEnds[] = {1, 3, 7, 14, 24, 72, 168};  ///< Of the stretches of hours ahead.
constexpr double kHalfLife = 56 * 24;                        ///< Hours after which an error counts half.
constexpr double kRecent = 14 * 24;                          ///< Hours that say how good forecasts are lately …
constexpr std::size_t kRecentAhead = 48;                     ///< … those of so many hours ahead …
constexpr int kRecentLeast = 21;                             ///< … if there are so many.
constexpr double kRecentPower = 0.5, kRecentLow = 0.5, kRecentHigh = 2;
constexpr double kLeastOfHour = 0.3;
constexpr double kWider = 0.15;  ///< Tails are asked for so much smaller: residuals of the past undercover.
constexpr double kTails[] = {0.1, 0.025};

struct Weighted {
  double value, weight;
};

/// Between the middles of neighbouring weights.
double weighted_quantile(std::vector<Weighted>& values, double q) {
  std::ranges::stable_sort(values, {}, &Weighted::value);
  double sum = 0;
  for (const auto& each : values) sum += each.weight;
  double below = 0, last_place = 0, last_value = values.front().value;
  for (const auto& [value, weight] : values) {
    const double place = (below + weight / 2) / sum;
    if (place >= q)
      return place > last_place && below > 0
                 ? last_value + (value - last_value) * (q - last_place) / (place - last_place)
                 : value;
    last_place = place, last_value = value, below += weight;
  }
  return last_value;
}

/// Calls `each(origin, hours ahead, off, weight)` for what has come.
void visit(const Rehearsal& rehearsal,
           const std::function<void(const Rehearsal::Origin&, std::size_t, double, double)>& each) {
  for (const auto& origin : rehearsal.origins) {
    for (std::size_t h = 1; h <= origin.off.size(); ++h) {
      const double off = origin.off[h - 1];
      if (std::isnan(off)) continue;
      each(origin, h, off,
           std::exp2(-(static_cast<double>(rehearsal.end) - static_cast<double>(origin.at + h)) / kHalfLife));
    }
  }
}

}  // namespace

std::size_t Bands::stretch_of(std::size_t h) {
  return std::min<std::size_t>(kStretches - 1,
                               static_cast<std::size_t>(std::ranges::lower_bound(kEnds, h) - std::begin(kEnds)));
}

Bands::Bands(const State& state, const Rehearsal& rehearsal) {
  std::array<double, kStretches> weights{};
  visit(rehearsal, [&](const auto&, std::size_t h, double off, double weight) {
    usual_[stretch_of(h)] += weight * std::abs(off), weights[stretch_of(h)] += weight;
  });
  for (std::size_t i = 0; i < kStretches; ++i) usual_[i] = std::max(usual_[i] / std::max(weights[i], 1e-12), 1e-9);

  std::array<double, 24> sums{}, hour_weights{};
  double sum = 0, all = 0;
  visit(rehearsal, [&](const auto& origin, std::size_t h, double off, double weight) {
    if (h < 8) return;
    const auto hour = state.slot(origin.at + h).hour;
    const double share = weight * std::abs(off) / usual_[stretch_of(h)];
    sums[hour] += share, hour_weights[hour] += weight, sum += share, all += weight;
  });
  std::array<double, 24> plain;
  for (std::size_t i = 0; i < 24; ++i)
    plain[i] = all > 0 && hour_weights[i] > 0 && sum > 0 ? sums[i] / hour_weights[i] * all / sum : 1;
  for (std::size_t i = 0; i < 24; ++i)
    of_hour_[i] = std::max(kLeastOfHour, plain[(i + 23) % 24] / 4 + plain[i] / 2 + plain[(i + 1) % 24] / 4);

  // How good forecasts were in the two weeks before an hour, as it was known then.
  const auto scaled = [&](const Rehearsal::Origin& origin, std::size_t h, double off) {
    return off / (usual_[stretch_of(h)] * of_hour_[state.slot(origin.at + h).hour]);
  };
  std::vector<std::pair<std::size_t, double>> recent;
  visit(rehearsal, [&](const auto& origin, std::size_t h, double off, double) {
    if (h <= kRecentAhead) recent.emplace_back(origin.at + h, std::abs(scaled(origin, h, off)));
  });
  const auto lately = [&](std::size_t known) {
    double total = 0;
    int count = 0;
    for (const auto& [target, off] : recent) {
      if (target <= known && static_cast<double>(target) > static_cast<double>(known) - kRecent) total += off, ++count;
    }
    return count < kRecentLeast ? 1 : std::pow(std::clamp(total / count, kRecentLow, kRecentHigh), kRecentPower);
  };
  std::array<std::vector<Weighted>, kStretches> shares;
  const Rehearsal::Origin* last = nullptr;
  double last_lately = 1;
  visit(rehearsal, [&](const auto& origin, std::size_t h, double off, double weight) {
    if (&origin != last) last = &origin, last_lately = lately(origin.at);
    shares[stretch_of(h)].push_back({scaled(origin, h, off) / last_lately, weight});
  });
  lately_ = lately(rehearsal.end);
  for (std::size_t level = 0; level < 2; ++level) {
    const double tail = kTails[level] * (1 - kWider);
    for (std::size_t i = 0; i < kStretches; ++i) {
      if (!shares[i].empty())
        quantiles_[level][i] = {weighted_quantile(shares[i], tail), weighted_quantile(shares[i], 1 - tail)};
    }
  }
}

Bands::Band Bands::band(Level level, std::size_t h, std::uint32_t hour) const {
  const auto stretch = stretch_of(h);
  const double scale = usual_[stretch] * of_hour_[hour] * lately_;
  const auto& quantile = quantiles_[level][stretch];
  return {scale * quantile.low, scale * quantile.high};
}

void Bands::write(ByteWriter& out) const {
  write_reals(out, usual_);
  write_reals(out, of_hour_);
  out.real(lately_);
  for (const auto& level : quantiles_) {
    for (const auto& band : level) out.real(band.low), out.real(band.high);
  }
}

Bands Bands::read(ByteReader& in) {
  Bands bands;
  const auto usual = read_reals(in), of_hour = read_reals(in);
  if (usual.size() != kStretches || of_hour.size() != 24) throw BadBytes("bands do not match the hours");
  std::ranges::copy(usual, bands.usual_.begin());
  std::ranges::copy(of_hour, bands.of_hour_.begin());
  bands.lately_ = read_finite(in);
  for (auto& level : bands.quantiles_) {
    for (auto& band : level) band = {read_finite(in), read_finite(in)};
  }
  return bands;
}

}  // namespace wattd::ml::load
