#include "drivers/modbus/scan.h"

#include <algorithm>
#include <bit>
#include <climits>
#include <cmath>
#include <thread>

#include "drivers/modbus/plan.h"
#include "drivers/modbus/sunspec.h"

namespace wattd::drivers::modbus {
namespace {

constexpr int kMostSilent = 12;  // a unit that answers some requests and not others is left at that
constexpr std::size_t kMostShown = 6;
constexpr int kWeightOfDoubt = 3;

bool is_voltage(std::string_view name) { return name.starts_with("voltage_"); }

/// The row that tells whether voltages, or the frequency, make sense.
const Register* telling(const Profile& profile, bool voltage) {
  const auto found = std::ranges::find_if(profile.registers, [&](const Register& row) {
    if (row.type == RegisterType::string) return false;
    return voltage ? is_voltage(row.measurand) && is_plausible(row.measurand, 0).has_value()
                   : row.measurand == "frequency";
  });
  return found == profile.registers.end() ? nullptr : &*found;
}

}  // namespace

std::optional<PlausibleRange> plausible_range(std::string_view measurand) {
  using Range = PlausibleRange;
  if (measurand == "frequency") return Range{45, 65};
  if (measurand.starts_with("voltage_l1_n") || measurand.starts_with("voltage_l2_n") ||
      measurand.starts_with("voltage_l3_n") || measurand.starts_with("voltage_ln_"))
    return Range{80, 300};
  if (measurand.starts_with("voltage_l")) return Range{140, 760};
  if (measurand.starts_with("power_factor")) return Range{-1.001, 1.001};
  if (measurand.starts_with("current_")) return Range{-10'000, 10'000};
  if (measurand.starts_with("thd_")) return Range{0, 500};
  if (measurand.starts_with("power_") || measurand.starts_with("demand_power")) return Range{-5e7, 5e7};
  if (measurand.starts_with("energy_")) return Range{-1e9, 1e9};
  return std::nullopt;
}

std::optional<bool> is_plausible(std::string_view measurand, double value) {
  const auto range = plausible_range(measurand);
  if (!range) return std::nullopt;
  return std::isfinite(value) && value >= range->least && value <= range->most;
}

std::vector<InOrder> in_every_order(const Register& row, std::span<const std::uint16_t> words, int exponent) {
  if (row.type == RegisterType::string) return {};
  auto as_big = row;
  as_big.word_order = WordOrder::big;
  std::vector<InOrder> all;
  for (const bool swapped : {false, true}) {
    for (const bool reversed : {false, true}) {
      if (reversed && words.size() < 2) continue;
      std::vector<std::uint16_t> ordered(words.begin(), words.end());
      if (reversed) std::ranges::reverse(ordered);
      if (swapped) std::ranges::transform(ordered, ordered.begin(), [](auto word) { return std::rotl(word, 8); });
      const auto value = decode(as_big, ordered, exponent);
      all.push_back({reversed, swapped, value ? as_number(*value) : std::nullopt});
    }
  }
  return all;
}

const Scanner::Words& Scanner::read(int unit, int function, int address, int count) {
  const auto key = std::tuple(unit, function, address, count);
  const auto known = known_.find(key);
  if (known != known_.end()) return known->second;
  if (silent_in_a_row_ >= kMostSilent)
    return known_.emplace(key, fail(ErrorKind::retry, "not asked: the unit does not answer any more")).first->second;
  if (pause_.count() > 0) std::this_thread::sleep_for(pause_);
  auto words = link_.read(unit, function, address, count);
  const bool silent = !words && words.error().kind == ErrorKind::retry;
  silent_in_a_row_ = silent ? silent_in_a_row_ + 1 : 0;
  if (silent) last_error_ = words.error().message;
  return known_.emplace(key, std::move(words)).first->second;
}

bool Scanner::is_there(int unit) {
  silent_in_a_row_ = 0;
  // Nearly every meter has something at 0, and the others refuse it.
  for (const int function : {4, 3}) {
    const auto& words = read(unit, function, 0, 2);
    if (words || words.error().kind != ErrorKind::retry) return true;
    if (unit > 10 && unit < 247) return false;
  }
  return false;
}

std::optional<double> Scanner::value_of(int unit, const Profile& profile, const Register& row, int base) {
  const auto first = row.first() - row.first() % profile.alignment;
  const auto end = (row.end() + profile.alignment - 1) / profile.alignment * profile.alignment;
  const Request request{row.function, first, end - first, 0, {&row}};
  const auto& words = read(unit, row.function, base + first, end - first);
  if (!words) return std::nullopt;
  const auto value = value_in(row, request, *words);
  return value ? as_number(*value) : std::nullopt;
}

/// What it answers to function 43; nothing where it does not.
const std::vector<std::string>& Scanner::names_of(int unit) {
  const auto known = names_.find(unit);
  if (known != names_.end()) return known->second;
  if (pause_.count() > 0) std::this_thread::sleep_for(pause_);
  return names_.emplace(unit, link_.identify(unit).value_or(std::vector<std::string>{})).first->second;
}

/// Whether the unit says that it is such a meter.
bool Scanner::says_so(int unit, const Profile& profile, bool telling) {
  return std::ranges::any_of(profile.identities, [&](const Identity& identity) {
    if (telling && !identity.is_telling) return false;
    if (!identity.product.empty()) return identity.holds(names_of(unit));
    const auto& words = read(unit, identity.place.function, identity.place.address, identity.place.count());
    return words && identity.holds(*words);
  });
}

bool Scanner::may_fit(int unit, const Profile& profile, int base) {
  for (const bool voltage : {true, false}) {
    const auto* row = telling(profile, voltage);
    if (row == nullptr) return false;
    const auto value = value_of(unit, profile, *row, base);
    if (!value || !is_plausible(row->measurand, *value).value_or(false)) return false;
  }
  return true;
}

Candidate Scanner::judge(int unit, const Profile& profile, int base) {
  Candidate candidate{.profile = profile.id, .models = profile.models, .experimental = profile.experimental};
  for (const auto& request : plan(profile, Rows::all, false)) {
    const auto words = read(unit, request.function, base + request.address, request.count);
    for (const auto* row : request.rows) {
      std::optional<double> number;
      if (!words) {
        number = value_of(unit, profile, *row, base);
      } else if (const auto value = value_in(*row, request, *words)) {
        number = as_number(*value);
      } else {
        continue;  // the meter says "not available": it knows the row
      }
      const auto plausible = number ? is_plausible(row->measurand, *number) : std::optional(false);
      if (!plausible) continue;
      // Registers that a meter does not have often read as 0: that speaks for nothing.
      if (*plausible && *number == 0) {
        ++candidate.idle;
        continue;
      }
      (*plausible ? candidate.plausible : candidate.doubtful) += 1;
      if (*plausible && candidate.values.size() < kMostShown) candidate.values.emplace_back(row->measurand, *number);
    }
  }
  return candidate;
}

std::vector<Candidate> Scanner::identify(int unit, std::size_t most) {
  std::vector<Candidate> candidates;
  const auto models = walk_sunspec(link_, unit);
  // What it says of itself is asked for first: a meter may stay silent on what it does not know, and is left alone
  // then. Those that it says it is are judged before the others.
  std::vector<const Profile*> order;
  for (const auto& profile : profiles_) order.push_back(&profile);
  silent_in_a_row_ = INT_MIN / 2;
  std::ranges::stable_partition(order, [&](const Profile* one) { return says_so(unit, *one, false); });
  silent_in_a_row_ = 0;
  for (const auto* one : order) {
    const auto& profile = *one;
    if (profile.sunspec.empty()) {
      const bool is_sure = says_so(unit, profile, true);
      if (!is_sure && !may_fit(unit, profile, 0)) continue;
      candidates.push_back(judge(unit, profile, 0));
      candidates.back().identified = is_sure || says_so(unit, profile, false);
      continue;
    }
    int instance = 0;
    for (const auto& model : models.value_or(std::vector<SunspecModel>{})) {
      if (std::ranges::count(profile.sunspec, model.id) == 0 || model.id == 1) continue;
      candidates.push_back(judge(unit, profile, model.address));
      candidates.back().identified = true;
      candidates.back().is_model = true;
      candidates.back().instance = ++instance;
    }
  }
  // What the unit says of itself counts for more than what fits by chance, and what was tried more than what was not.
  std::ranges::stable_sort(candidates, std::ranges::greater{}, [](const Candidate& one) {
    return std::tuple(one.identified, one.plausible - kWeightOfDoubt * one.doubtful, -one.idle, !one.experimental);
  });
  // Models that a device lists are meters of their own, however many.
  std::size_t others = 0;
  std::erase_if(candidates, [&](const Candidate& one) { return !one.is_model && ++others > most; });
  return candidates;
}

}  // namespace wattd::drivers::modbus
