#include "simulator/meter.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace wattd::simulator {

using drivers::modbus::Register;

void RegisterImage::set(const Register& row, double value) {
  auto& table = row.function == 4 ? input : holding;
  const auto words = drivers::modbus::encode(row, value);
  std::ranges::copy(words, table.begin() + row.address);
}

Meter::Meter(drivers::modbus::Profile profile, std::uint64_t seed) : profile_(std::move(profile)), random_(seed) {}

Meter::Meter(drivers::modbus::Profile profile, const drivers::replay::ReplayConfig& recording)
    : profile_(std::move(profile)), random_(0), recording_(std::make_unique<drivers::replay::Recording>(recording)) {
  for (const auto& [column, field] : recording.columns) {
    const auto row = std::ranges::find(profile_.registers, field, &Register::measurand);
    if (row == profile_.registers.end()) throw std::runtime_error(fmt::format("{} has no {}", profile_.id, field));
    if (first_row_ == nullptr || row->address < first_row_->address) first_row_ = &*row;
  }
  if (first_row_ == nullptr) throw std::runtime_error("a recording for a meter needs columns, as in V=voltage_l1_n");
}

bool Meter::before_read(int function, int address, int count, Timestamp now) {
  if (!recording_) {
    show_load(now);
    return true;
  }
  const bool begins =
      function == first_row_->function && address <= first_row_->address && first_row_->end() <= address + count;
  return !begins || show_next_row();
}

bool Meter::show_next_row() {
  Reading reading;
  if (!recording_->next(reading)) return false;
  for (const auto& field : reading.fields) {
    const auto row = std::ranges::find(profile_.registers, field.name, &Register::measurand);
    if (const auto value = as_number(field.value); value && row != profile_.registers.end()) image_.set(*row, *value);
  }
  return true;
}

void Meter::show_load(Timestamp now) {
  const auto hour =
      std::chrono::duration<double, std::ratio<3600>>(now - std::chrono::floor<std::chrono::days>(now)).count();
  if (shown_at_ && now > *shown_at_) {
    energy_kwh_ += load_w_ / 1000 * std::chrono::duration<double, std::ratio<3600>>(now - *shown_at_).count();
  }
  shown_at_ = now;
  load_w_ = 3000 + 2000 * std::sin((hour - 9) * std::numbers::pi / 12) + random_.gauss(0, 30);
  for (const auto& row : profile_.registers) image_.set(row, value_of(row.measurand));
}

double Meter::value_of(const std::string& measurand) const {
  const auto starts = [&](std::string_view prefix) { return measurand.starts_with(prefix); };
  const bool whole = measurand.ends_with("_total") || measurand.ends_with("_sum");
  const double share = whole ? 1 : 1. / 3;
  if (starts("energy_import") || starts("energy_sum")) return energy_kwh_ * share;
  if (starts("energy") || starts("charge")) return 0;
  if (starts("voltage_l1_l2") || starts("voltage_l2_l3") || starts("voltage_l3_l1") || starts("voltage_ll"))
    return 398.4;
  if (starts("voltage")) return 230.1;
  if (starts("current")) return load_w_ * share / 230.1;
  if (starts("power_factor")) return .98;
  if (starts("power_reactive")) return load_w_ * share * .2;
  if (starts("power_apparent")) return load_w_ * share / .98;
  if (starts("power") || starts("demand_power")) return load_w_ * share;
  if (starts("frequency")) return 50.01;
  if (starts("thd")) return 2.5;
  return 0;
}

}  // namespace wattd::simulator
