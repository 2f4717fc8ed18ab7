#include "drivers/modbus/bus.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <map>
#include <thread>

#include "telemetry/log.h"

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

constexpr auto kFirstBackoff = 1s;
constexpr auto kLongestBackoff = 30s;

Request part_of(const Request& whole, std::size_t first, std::size_t last) {
  Request part{.function = whole.function};
  part.rows.assign(whole.rows.begin() + static_cast<std::ptrdiff_t>(first),
                   whole.rows.begin() + static_cast<std::ptrdiff_t>(last));
  part.address = part.rows.front()->address;
  int end = 0;
  for (const auto* row : part.rows) end = std::max(end, row->end());
  part.count = end - part.address;
  return part;
}

}  // namespace

Bus::Bus(BusConfig config, std::unique_ptr<Link> link, Intake& intake, const Clock& clock)
    : config_(std::move(config)), link_(std::move(link)), intake_(intake), clock_(clock) {
  backoff_.resize(config_.meters.size());
  health_.resize(config_.meters.size());
  const auto now = clock_.monotonic();
  for (std::size_t i = 0; i < config_.meters.size(); ++i) {
    auto& meter = config_.meters[i];
    health_[i].device_id = meter.device_id;
    for (const auto poll_class : {PollClass::fast, PollClass::slow}) {
      auto requests = plan(meter.profile, poll_class, meter.experimental);
      if (requests.empty()) continue;
      const auto period = poll_class == PollClass::fast ? meter.fast : meter.slow;
      polls_.push_back({&meter, poll_class, std::move(requests), now, period, i});
    }
  }
}

Instant Bus::step(Instant now) {
  for (std::size_t tried = 0; tried < polls_.size(); ++tried) {
    auto& candidate = polls_[(next_ + tried) % polls_.size()];
    if (candidate.due > now || backoff_[candidate.meter_index].until > now) continue;
    next_ = (next_ + tried + 1) % polls_.size();
    poll(candidate, now);
    // Deadlines keep their grid; periods that were missed altogether are left out, not made up for.
    candidate.due +=
        candidate.period * std::max<std::int64_t>(1, (clock_.monotonic() - candidate.due) / candidate.period);
    if (candidate.due <= now) candidate.due = now + candidate.period;
    return clock_.monotonic();
  }
  auto next = now + 1s;
  for (const auto& poll : polls_) next = std::min(next, std::max(poll.due, backoff_[poll.meter_index].until));
  return next;
}

void Bus::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const auto next = step(clock_.monotonic());
    while (!stop.stop_requested() && clock_.monotonic() < next) {
      std::this_thread::sleep_for(std::min<Instant::duration>(next - clock_.monotonic(), 50ms));
    }
  }
}

void Bus::poll(Poll& poll, Instant now) {
  if (!intake_.has_room()) {
    const std::scoped_lock lock(mutex_);
    health_[poll.meter_index].skipped_full += 1;
    return;
  }
  const auto& meter = *poll.meter;
  const auto began = clock_.stamp();
  Reading reading{.device_id = meter.device_id, .at = began.at, .quality = began.quality};
  Result<void> outcome{};
  for (const auto& request : poll.requests) {
    outcome = read(meter, request, reading);
    // Whoever does not answer once is not asked the rest: each request would cost the bus a whole timeout.
    if (!outcome && outcome.error().kind == ErrorKind::retry) break;
    if (meter.profile.delay > 0ms) std::this_thread::sleep_for(meter.profile.delay);
  }
  const bool answered = outcome || outcome.error().kind != ErrorKind::retry;
  auto& backoff = backoff_[poll.meter_index];
  if (answered) {
    backoff = {};
  } else {
    const auto pause = kFirstBackoff * (1 << std::min(backoff.failures++, 5));
    backoff.until = clock_.monotonic() + std::min<std::chrono::seconds>(pause, kLongestBackoff);
  }
  const auto took = std::chrono::duration<double, std::milli>(clock_.monotonic() - now).count();
  note(poll.meter_index, answered, took, outcome ? std::string{} : outcome.error().message);
  if (reading.fields.empty()) return;
  const auto received = clock_.stamp();
  // The clock was set while the meter answered: both stamps are to be of one reckoning.
  if (received.quality != reading.quality) reading.at = received.at, reading.quality = received.quality;
  reading.received = received.at;
  intake_.put(std::move(reading));
}

Result<void> Bus::read(const MeterConfig& meter, const Request& request, Reading& reading) {
  const bool wanted = std::ranges::any_of(request.rows, [&](const auto* row) { return !unsupported_.contains(row); });
  if (!wanted) return {};
  const auto words = link_->read(meter.unit, request.function, request.address, request.count);
  if (!words && words.error().kind == ErrorKind::unsupported)
    return read_halves(meter, request, reading, words.error());
  if (!words) return std::unexpected(words.error());
  for (const auto* row : request.rows) {
    const auto offset = static_cast<std::size_t>(row->address - request.address);
    auto value = decode(*row, std::span(*words).subspan(offset, static_cast<std::size_t>(register_count(row->type))));
    // Absence is absence: a sentinel makes no field, never a zero.
    if (value) reading.fields.push_back({row->measurand, std::move(*value)});
  }
  return {};
}

Result<void> Bus::read_halves(const MeterConfig& meter, const Request& request, Reading& reading,
                              const Error& refusal) {
  if (request.rows.size() == 1) {
    unsupported_.insert(request.rows.front());
    log::notice(fmt::format("{}: {} is not supported by the meter and is left out: {}", meter.device_id,
                            request.rows.front()->measurand, refusal.message),
                {{"DEVICE_ID", meter.device_id}});
    return {};
  }
  const auto middle = request.rows.size() / 2;
  if (auto first = read(meter, part_of(request, 0, middle), reading); !first) return first;
  return read(meter, part_of(request, middle, request.rows.size()), reading);
}

void Bus::note(std::size_t meter, bool answered, double ms, const std::string& error) {
  const std::scoped_lock lock(mutex_);
  auto& health = health_[meter];
  const bool was_silent = !health.last_error.empty();
  health.polls += 1;
  health.failures += answered ? 0 : 1;
  if (answered) health.last_answer_ms = ms;
  if (!answered && !was_silent)
    log::warning(fmt::format("{}: {}", health.device_id, error), {{"DEVICE_ID", health.device_id}});
  if (answered && was_silent)
    log::notice(fmt::format("{}: answers again", health.device_id), {{"DEVICE_ID", health.device_id}});
  health.last_error = answered ? std::string{} : error;
}

std::vector<MeterHealth> Bus::health() const {
  const std::scoped_lock lock(mutex_);
  return health_;
}

}  // namespace wattd::drivers::modbus
