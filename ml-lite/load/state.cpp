#include "ml-lite/load/state.h"

#include <algorithm>
#include <cmath>

#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"

namespace wattd::ml::load {
namespace {

constexpr std::size_t kWidths[] = {6, 24, 168, 672};
constexpr double kWorkingDay = 0.1, kWeekend = 0.25, kAnyDay = 0.1;  ///< What a visit changes.

double root(double value) { return std::copysign(std::sqrt(std::abs(value)), value); }

}  // namespace

Scale Scale::of(std::span<const double> values) {
  Scale scale;
  std::vector<double> roots;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    roots.push_back(root(value));
    scale.negative_ = scale.negative_ || value < 0;
  }
  if (roots.empty()) return scale;
  // One glitch of a register would make everything else look alike: beyond three times the span of all but one in a
  // hundred nothing is believed.
  const double low = quantile(roots, 0.005), high = quantile(roots, 0.995), span = high - low;
  if (span > 0) {
    for (double& value : roots) value = std::clamp(value, low - 3 * span, high + 3 * span);
  }
  scale.centre_ = ml::mean(roots);
  scale.spread_ = std::max(deviation(roots), 1e-12);
  if (span > 0) {
    scale.lowest_ = (low - 3 * span - scale.centre_) / scale.spread_;
    scale.highest_ = (high + 3 * span - scale.centre_) / scale.spread_;
  }
  return scale;
}

double Scale::to(double value) const {
  return std::isfinite(value) ? std::clamp((root(value) - centre_) / spread_, lowest_, highest_) : value;
}

double Scale::from(double z) const {
  const double value = z * spread_ + centre_;
  return negative_ ? value * std::abs(value) : std::pow(std::max(value, 0.0), 2);
}

void Scale::write(ByteWriter& out) const {
  for (const double value : {centre_, spread_, lowest_, highest_}) out.real(value);
  out.byte(negative_);
}

Scale Scale::read(ByteReader& in) {
  Scale scale;
  for (double* value : {&scale.centre_, &scale.spread_, &scale.lowest_, &scale.highest_}) *value = read_finite(in);
  scale.negative_ = in.byte() != 0;
  if (!(scale.spread_ > 0) || !(scale.lowest_ <= scale.highest_)) throw BadBytes("an impossible scale");
  return scale;
}

State::State(LocalTime first, Scale scale, Holidays holidays)
    : first_(first), scale_(scale), holidays_(std::move(holidays)) {}

Slot State::slot(std::size_t t) const {
  const auto calendar = calendar_at(time(t), holidays_);
  return {calendar.hour, calendar.weekday, calendar.day_type()};
}

void State::append(double value) { append_z(scale_.to(value)); }

void State::append_z(double z) {
  const auto t = z_.size();
  const auto here = slot(t);
  const auto index = here.index();
  // A row of what was usual begins as a copy of the one before.
  usual_.resize((t + 1) * kSlots), usual_of_hour_.resize((t + 1) * 24);
  if (t > 0) {
    std::copy_n(usual_.end() - 2 * kSlots, kSlots, usual_.end() - kSlots);
    std::copy_n(usual_of_hour_.end() - 48, 24, usual_of_hour_.end() - 24);
  }
  float& usual = usual_[t * kSlots + index];
  float& usual_of_hour = usual_of_hour_[t * 24 + here.hour];
  const bool slot_known = known_[index], hour_known = known_[kSlots + here.hour];
  if (!std::isfinite(z))
    z = slot_known   ? static_cast<double>(usual)
        : hour_known ? static_cast<double>(usual_of_hour)
        : t > 0      ? z_.back()
                     : 0;
  z_.push_back(z);
  const double off = slot_known ? z - static_cast<double>(usual) : 0;
  usual = slot_known
              ? static_cast<float>(static_cast<double>(usual) + (here.day_type == 0 ? kWorkingDay : kWeekend) * off)
              : static_cast<float>(z);
  usual_of_hour =
      hour_known
          ? static_cast<float>(static_cast<double>(usual_of_hour) + kAnyDay * (z - static_cast<double>(usual_of_hour)))
          : static_cast<float>(z);
  known_[index] = known_[kSlots + here.hour] = true;
  for (std::size_t w = 0; w < means_.size(); ++w) {
    sums_[w] += z;
    if (t >= kWidths[w]) sums_[w] -= z_[t - kWidths[w]];
    means_[w].push_back(sums_[w] / static_cast<double>(std::min(t + 1, kWidths[w])));
  }
  off_.push_back(off);
  double sum = 0;
  for (std::size_t k = 0; k < std::min<std::size_t>(24, off_.size()); ++k) sum += off_[t - k];
  surprise_.push_back(sum / 24);
}

void State::trim() {
  if (z_.size() <= kKept) return;
  ByteWriter out;
  write(out);
  ByteReader in(out.bytes());
  *this = read(in);
}

void State::write(ByteWriter& out) const {
  const auto kept = std::min(z_.size(), kKept);
  const auto from = z_.size() - kept;
  scale_.write(out);
  write_time(out, time(from));
  write_days(out, holidays_);
  for (const bool known : known_) out.byte(known);
  write_floats(out, std::span(usual_).last(kSlots));
  write_floats(out, std::span(usual_of_hour_).last(24));
  write_reals(out, std::span(z_).subspan(from));
  write_reals(out, std::span(off_).last(std::min<std::size_t>(24, off_.size())));
}

State State::read(ByteReader& in) {
  const auto scale = Scale::read(in);
  const auto first = read_time(in);
  auto holidays = read_days(in);
  State state(first, scale, std::move(holidays));
  std::vector<bool> known;
  for (std::size_t i = 0; i < state.known_.size(); ++i) known.push_back(in.byte() != 0);
  std::array<float, kSlots> usual;
  std::array<float, 24> usual_of_hour;
  read_floats_into(in, usual);
  read_floats_into(in, usual_of_hour);
  const auto values = read_reals(in);
  const auto off = read_reals(in);
  if (values.empty() || values.size() > kKept || off.size() != std::min<std::size_t>(24, values.size()))
    throw BadBytes("the last hours do not match");
  // Means follow from the hours; what is usual knows more than they do, and is put in its place at the end.
  for (const double z : values) state.append_z(z);
  state.known_ = std::move(known);
  std::ranges::copy(usual, state.usual_.end() - kSlots);
  std::ranges::copy(usual_of_hour, state.usual_of_hour_.end() - 24);
  std::ranges::copy(off, state.off_.end() - static_cast<std::ptrdiff_t>(off.size()));
  double sum = 0;
  for (const double value : off) sum += value;
  state.surprise_.back() = sum / 24;
  return state;
}

}  // namespace wattd::ml::load
