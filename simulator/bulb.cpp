#include "simulator/bulb.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace wattd::simulator {
namespace {

constexpr std::array<std::string_view, 7> kFaults{"overheat", "voltage_spike", "current_surge", "dropout",
                                                  "stuck",    "clock_skew",    "malformed"};

/// 0.6 at night to 1.1 in the evening.
double load_of_the_day(Timestamp at) {
  const auto since_midnight = at - std::chrono::floor<std::chrono::days>(at);
  const double hour = std::chrono::duration<double, std::ratio<3600>>(since_midnight).count();
  return .85 + .25 * std::sin((hour - 12) * std::numbers::pi / 12);
}

}  // namespace

std::optional<Fault> fault_from(std::string_view name) {
  const auto found = std::ranges::find(kFaults, name);
  if (found == kFaults.end()) return std::nullopt;
  return static_cast<Fault>(found - kFaults.begin());
}

Bulb::Bulb(std::string device_id, std::uint64_t seed, FaultOdds odds)
    : device_id_(std::move(device_id)), random_(seed), odds_(std::move(odds)) {}

std::optional<Fault> Bulb::draw_fault() {
  std::optional<Fault> drawn;
  for (const auto& [fault, probability] : odds_) {
    if (random_.chance(probability)) drawn = fault;
  }
  return drawn;
}

BulbMessage Bulb::next(Timestamp at, std::optional<Fault> forced) {
  const auto drawn = draw_fault();
  BulbMessage message{.payload = {}, .fault = forced ? forced : drawn};
  if (message.fault != Fault::stuck) {
    voltage_ = random_.gauss(230, 5);
    current_ = random_.gauss(.85, .05) * load_of_the_day(at);
    power_ = voltage_ * current_ * random_.uniform(.95, 1);
    temperature_ = 40 + (power_ - 195) * .05 + random_.gauss(0, 2);
  }
  if (message.fault == Fault::overheat) temperature_ = random_.uniform(60, 75);
  if (message.fault == Fault::voltage_spike) voltage_ = random_.uniform(245, 255);
  if (message.fault == Fault::current_surge) {
    current_ = random_.uniform(1.5, 2);
    power_ = voltage_ * current_;
  }
  if (message.fault == Fault::clock_skew) at += std::chrono::hours{2};
  message.sent = message.fault != Fault::dropout;
  message.payload = fmt::format(
      R"({{"device_id":"{}","timestamp":"{}","voltage":{:.2f},"current":{:.2f},"power":{:.2f},"temperature":{:.2f}}})",
      device_id_, format_iso8601(at), std::clamp(voltage_, 200., 250.), std::clamp(current_, 0., 2.),
      std::clamp(power_, 0., 500.), std::clamp(temperature_, 20., 80.));
  if (message.fault == Fault::malformed) message.payload.resize(message.payload.size() / 2);
  return message;
}

}  // namespace wattd::simulator
