#include "drivers/modbus/bus.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <map>
#include <thread>

#include "drivers/modbus/sunspec.h"
#include "telemetry/log.h"

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

constexpr auto kFirstBackoff = 1s;
constexpr auto kLongestBackoff = 30s;
constexpr auto kForget = 24h;  // what a meter has refused is asked for again
constexpr int kRefusals = 3;   // of a row alone, before it is taken for one that the meter does not have

Request part_of(const Request& whole, std::size_t first, std::size_t last) {
  Request part{.function = whole.function};
  part.rows.assign(whole.rows.begin() + static_cast<std::ptrdiff_t>(first),
                   whole.rows.begin() + static_cast<std::ptrdiff_t>(last));
  part.address = part.rows.front()->first();
  int end = 0;
  for (const auto* row : part.rows) {
    part.address = std::min(part.address, row->first());
    end = std::max(end, row->end());
  }
  part.count = end - part.address;
  return part;
}

}  // namespace

Bus::Bus(BusConfig config, std::unique_ptr<Link> link, Intake& intake, const Clock& clock)
    : config_(std::move(config)), link_(std::move(link)), intake_(intake), clock_(clock) {
  backoff_.resize(config_.meters.size());
  health_.resize(config_.meters.size());
  learnt_.resize(config_.meters.size());
  const auto now = clock_.monotonic();
  for (std::size_t i = 0; i < config_.meters.size(); ++i) {
    const auto& meter = config_.meters[i];
    health_[i].device_id = meter.device_id;
    if (meter.profile.experimental) {
      log::notice(fmt::format("{}: the profile {} was gathered from public sources and never tried on the device: "
                              "compare its values with the display",
                              meter.device_id, meter.profile.id),
                  {{"DEVICE_ID", meter.device_id}});
    }
    for (const auto poll_class : {PollClass::fast, PollClass::slow}) {
      const auto period = poll_class == PollClass::fast ? meter.fast : meter.slow;
      polls_.push_back({poll_class, {}, now, period, i});
    }
    learnt_[i].line.baud = config_.address.is_serial() ? config_.address.baud : 0;
    learnt_[i].forget_at = now + kForget;
    make_plan(i);
  }
}

/// What the meter is asked, as far as is known what it answers.
void Bus::make_plan(std::size_t meter) {
  const auto& config = config_.meters[meter];
  std::vector<Request*> all;
  for (auto& poll : polls_) {
    if (poll.meter_index != meter) continue;
    poll.requests = plan(config.profile, poll.poll_class, config.experimental, learnt_[meter].line);
    for (auto& request : poll.requests) all.push_back(&request);
  }
  if (config_.address.framing() == Framing::rtu && !learnt_[meter].is_strict) tell_apart(all, config.profile);
  learnt_[meter].has_news = false;
}

/// Refusals do not hold for ever, also where nothing is left to be asked.
void Bus::forget_refusals(Instant now) {
  for (std::size_t meter = 0; meter < learnt_.size(); ++meter) {
    auto& learnt = learnt_[meter];
    if (now < learnt.forget_at) continue;
    learnt = {.base = learnt.base, .line = {.baud = learnt.line.baud}, .forget_at = now + kForget};
    make_plan(meter);
  }
}

Instant Bus::step(Instant now) {
  forget_refusals(now);
  for (std::size_t tried = 0; tried < polls_.size(); ++tried) {
    auto& candidate = polls_[(next_ + tried) % polls_.size()];
    if (candidate.requests.empty()) continue;
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
  for (const auto& poll : polls_) {
    if (!poll.requests.empty()) next = std::min(next, std::max(poll.due, backoff_[poll.meter_index].until));
  }
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
  const auto& meter = config_.meters[poll.meter_index];
  auto& learnt = learnt_[poll.meter_index];
  const auto began = clock_.stamp();
  Reading reading{.device_id = meter.device_id, .at = began.at, .quality = began.quality};
  asked_ = heard_ = 0;
  auto& backoff = backoff_[poll.meter_index];
  auto outcome = find_base(poll.meter_index);
  // One answer that is lost on the way does not make a meter silent. Whoever stays silent is not asked the rest: each
  // request would cost the bus a whole timeout.
  int patience = backoff.failures == 0 ? 1 : 0;
  for (auto request = poll.requests.begin(); outcome && request != poll.requests.end();) {
    const auto fields = reading.fields.size();
    auto answer = read(poll.meter_index, *request, reading);
    const bool is_lost = !answer && answer.error().kind == ErrorKind::retry;
    if (is_lost && patience-- > 0) {
      reading.fields.resize(fields);  // what a part of it has said comes again
      continue;
    }
    if (is_lost) outcome = std::move(answer);
    else ++request;
    if (meter.profile.delay > 0ms) std::this_thread::sleep_for(meter.profile.delay);
  }
  if (learnt.has_news) make_plan(poll.meter_index);
  if (outcome && asked_ == 0) return;
  if (heard_ > 0) {
    backoff = {};
  } else {
    const auto pause = kFirstBackoff * (1 << std::min(backoff.failures++, 5));
    backoff.until = clock_.monotonic() + std::min<std::chrono::seconds>(pause, kLongestBackoff);
  }
  const auto took = std::chrono::duration<double, std::milli>(clock_.monotonic() - now).count();
  note(poll.meter_index, took, outcome ? std::string{} : outcome.error().message);
  if (reading.fields.empty()) return;
  const auto received = clock_.stamp();
  // The clock was set while the meter answered: both stamps are to be of one reckoning.
  if (received.quality != reading.quality) reading.at = received.at, reading.quality = received.quality;
  reading.received = received.at;
  intake_.put(std::move(reading));
}

/// Where a SunSpec meter's model begins is asked once; what it says stays true until the program starts again.
Result<void> Bus::find_base(std::size_t meter) {
  auto& known = learnt_[meter].base;
  if (known) return {};
  const auto base = base_of(*link_, config_.meters[meter].unit, config_.meters[meter].profile);
  if (!base) return std::unexpected(base.error());
  known = *base;
  return {};
}

Result<void> Bus::read(std::size_t meter, const Request& request, Reading& reading) {
  auto& learnt = learnt_[meter];
  const ReadRequest asked{config_.meters[meter].unit, request.function, learnt.base.value_or(0) + request.address,
                          request.count - (learnt.is_strict ? request.padding : 0)};
  // Left out this time, rather than taken from an answer to something else.
  if (link_->free_at(asked) > clock_.monotonic()) return {};
  ++asked_;
  const auto words = link_->read(asked.unit, asked.function, asked.address, asked.count);
  heard_ += words || words.error().kind != ErrorKind::retry;
  if (!words && words.error().kind == ErrorKind::unsupported) {
    if (request.padding == 0 || learnt.is_strict) return read_halves(meter, request, reading, words.error());
    learnt.is_strict = learnt.has_news = true;
    return read(meter, request, reading);
  }
  if (!words) return std::unexpected(words.error());
  for (const auto* row : request.rows) {
    auto value = value_in(*row, request, *words);
    // Absence is absence: a sentinel makes no field, never a zero.
    if (value) reading.fields.push_back({row->measurand, std::move(*value)});
  }
  return {};
}

/// A row that was refused alone is left out once it was refused often enough not to be an accident.
void Bus::refuse(std::size_t meter, const Register& row, const Error& refusal) {
  auto& learnt = learnt_[meter];
  if (++learnt.refusals[&row] < kRefusals) return;
  learnt.line.holes.push_back({row.function, row.first(), row.end()});
  learnt.has_news = true;
  const auto& id = config_.meters[meter].device_id;
  log::notice(fmt::format("{}: {} is not supported by the meter and is left out for a day: {}", id, row.measurand,
                          refusal.message),
              {{"DEVICE_ID", id}});
}

Result<void> Bus::read_halves(std::size_t meter, const Request& request, Reading& reading, const Error& refusal) {
  if (request.rows.size() == 1) {
    refuse(meter, *request.rows.front(), refusal);
    return {};
  }
  auto& learnt = learnt_[meter];
  const auto refused = [&] {
    int all = 0;
    for (const auto& [row, times] : learnt.refusals) all += times;
    return all;
  };
  const auto before = refused();
  const auto middle = request.rows.size() / 2;
  const auto first = part_of(request, 0, middle);
  const auto second = part_of(request, middle, request.rows.size());
  for (const auto* half : {&first, &second}) {
    if (auto done = read(meter, *half, reading); !done) return done;
  }
  if (refused() > before) return {};
  // Each half by itself is answered: it is what lies between them that is refused, or so many registers at once.
  const auto gap = first.address + first.count;
  if (gap < second.address) learnt.line.holes.push_back({request.function, gap, second.address});
  else learnt.line.max_registers = std::max(first.count, second.count);
  learnt.has_news = true;
  return {};
}

void Bus::note(std::size_t meter, double ms, const std::string& error) {
  const std::scoped_lock lock(mutex_);
  auto& health = health_[meter];
  const bool answered = heard_ > 0;
  const bool was_silent = !health.last_error.empty();
  health.polls += 1;
  health.failures += answered ? 0 : 1;
  health.lost += static_cast<std::uint64_t>(asked_ - heard_);
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
