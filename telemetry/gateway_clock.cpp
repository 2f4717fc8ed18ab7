#include "telemetry/gateway_clock.h"

#include <fmt/format.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <random>

#include "telemetry/build_day.h"
#include "telemetry/log.h"

namespace wattd {
namespace {

using namespace std::chrono_literals;

constexpr auto kStep = 50ms;         // less is how an unlucky pair of readings looks
constexpr auto kSlewed = 1h;         // the longest way back that is made up for slowly
constexpr auto kAfterStep = 1min;    // for which stamps say that the clock was stepped
constexpr auto kAtOneInstant = 2ms;  // between the readings of two clocks
constexpr int kTries = 5;

std::int64_t us(std::chrono::microseconds duration) { return duration.count(); }

std::chrono::microseconds read_clock(clockid_t id) {
  timespec time{};
  clock_gettime(id, &time);
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::seconds{time.tv_sec} +
                                                               std::chrono::nanoseconds{time.tv_nsec});
}

}  // namespace

std::optional<Machine::Time> ThisMachine::read() const {
  for (int i = 0; i < kTries; ++i) {
    const auto before = since_boot();
    const Timestamp wall{read_clock(CLOCK_REALTIME)};
    const auto took = since_boot() - before;
    if (took < kAtOneInstant) return Time{wall, before + took / 2};
  }
  return std::nullopt;
}

std::chrono::microseconds ThisMachine::since_boot() const { return read_clock(CLOCK_BOOTTIME); }

std::string ThisMachine::boot_id() const {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  if (!id.empty()) return id;
  // Where that is hidden, every start of the program counts as one of the machine: nothing is put right by mistake.
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

GatewayClock::GatewayClock(const Machine& machine) : machine_(machine), boot_id_(machine.boot_id()) {
  auto time = machine.read();
  while (!time) time = machine.read();
  assumed_us_ = to_unix_us(time->wall - time->since_boot);
  began_us_ = assumed_us_;
}

void GatewayClock::set_trust(Trust trust) {
  trust_ = trust;
  const auto time = machine_.read();
  // What was trusted once in this boot still is, unless somebody has set the clock since.
  if (time && trust_.known && std::chrono::abs(time->wall - time->since_boot - *trust_.known) < kStep)
    trust_from(to_unix_us(*trust_.known));
  watch();
}

void GatewayClock::trust_from(std::int64_t began_us) {
  began_us_ = began_us;
  trusted_.store(true, std::memory_order_release);
}

void GatewayClock::watch() {
  const auto time = machine_.read();
  if (!time) return;
  const auto began = to_unix_us(time->wall - time->since_boot);
  if (trusted_.load(std::memory_order_relaxed)) return follow(began, us(time->since_boot));
  if (trust_.by == ClockTrust::ntp ? !machine_.is_synchronised() : time->wall < trust_.past) return;
  const auto wrong_by = began - assumed_us_;
  if (std::abs(wrong_by) >= us(kStep)) {
    log::notice(fmt::format("the clock is right now; it was {} {}",
                            format_duration(std::chrono::microseconds{std::abs(wrong_by)}),
                            wrong_by > 0 ? "slow" : "fast"));
  }
  trust_from(began);
}

void GatewayClock::follow(std::int64_t began_us, std::int64_t since_boot_us) {
  const auto step = began_us - began_us_.load(std::memory_order_relaxed);
  if (std::abs(step) < us(kStep)) return;
  steps_.fetch_add(1, std::memory_order_relaxed);
  // Stamps may be ahead of the wall clock still, from a step before: what counts is how far they are from it now.
  const auto ahead = began_at(since_boot_us) - began_us;
  const bool slowly = ahead > 0 && ahead <= us(kSlewed);
  // From where stamps are now, half of what passes is lost until they meet the wall clock.
  if (slowly) slewed_us_.store(began_at(since_boot_us) + since_boot_us / 2, std::memory_order_relaxed);
  else slewed_us_.store(INT64_MIN, std::memory_order_relaxed);
  adjusted_until_us_.store(since_boot_us + us(kAfterStep), std::memory_order_relaxed);
  began_us_.store(began_us, std::memory_order_release);
  log::warning(fmt::format("the clock was stepped {} by {}{}", step > 0 ? "forward" : "back",
                           format_duration(std::chrono::microseconds{std::abs(step)}),
                           slowly ? "; stamps go at half speed until they meet it" : ""));
}

std::int64_t GatewayClock::began_at(std::int64_t since_boot_us) const {
  const auto began = began_us_.load(std::memory_order_acquire);
  const auto slewed = slewed_us_.load(std::memory_order_relaxed);
  return slewed == INT64_MIN ? began : std::max(began, slewed - since_boot_us / 2);
}

Stamp GatewayClock::stamp() const {
  // Trust first: what is flagged was reckoned by the clock as it was found, whatever happens meanwhile.
  const bool trusted = trusted_.load(std::memory_order_acquire);
  const auto passed = us(machine_.since_boot());
  if (!trusted) return {from_unix_us(assumed_us_ + passed), Quality::clock_unsynced};
  const auto began = began_at(passed);
  const bool adjusted =
      began != began_us_.load(std::memory_order_relaxed) || passed < adjusted_until_us_.load(std::memory_order_relaxed);
  return {from_unix_us(began + passed), adjusted ? Quality::clock_adjusted : Quality::good};
}

Boot GatewayClock::boot() const {
  Boot boot{boot_id_, from_unix_us(assumed_us_), std::nullopt};
  if (trusted_.load(std::memory_order_acquire)) boot.known = from_unix_us(began_us_.load(std::memory_order_relaxed));
  return boot;
}

Timestamp build_date() {
  static const auto at = parse_iso8601(WATTD_BUILD_DAY "T00:00:00Z");
  return at.value();
}

}  // namespace wattd
