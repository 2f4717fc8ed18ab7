#include "drivers/modbus/bus.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <map>
#include <thread>

#include "drivers/modbus/learnt.h"
#include "drivers/modbus/sunspec.h"
#include "telemetry/log.h"

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

constexpr auto kForget = 24h;  // what a meter has refused is asked for again
constexpr int kRefusals = 3;   // of a row alone, before it is taken for one that the meter does not have,
constexpr auto kApart = 30s;   // counted no sooner than this after one another: a meter that starts refuses for a while
constexpr auto kAskAnew = 1h;  // at least, between two times that it is asked for everything because it was silent
constexpr int kMute = 3;       // times in a row without an answer while others got theirs, before a request is asked
constexpr int kMuteTurns = 8;  // in one turn of so many

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

/// What of a unit a meter is: one device may have several models, also of one kind.
std::string layout_of(const MeterConfig& meter) {
  return meter.instance == 1 ? meter.profile.id : fmt::format("{}#{}", meter.profile.id, meter.instance);
}

std::vector<Schedule::Periods> periods_of(const BusConfig& config) {
  std::vector<Schedule::Periods> all;
  for (const auto& meter : config.meters) {
    const auto any = [&](Rows rows) { return !plan(meter.profile, rows, meter.experimental).empty(); };
    all.push_back({any(Rows::fast) ? meter.fast : 0ms, any(Rows::slow) ? meter.slow : 0ms});
  }
  return all;
}

}  // namespace

Bus::Bus(BusConfig config, std::unique_ptr<Link> link, Intake& intake, const Clock& clock)
    : config_(std::move(config)),
      link_(std::move(link)),
      intake_(intake),
      clock_(clock),
      plans_(config_.meters.size()),
      learnt_(config_.meters.size()),
      patience_(config_.meters.size(), Patience(config_.address.timeout)),
      schedule_(periods_of(config_), clock_.monotonic()) {
  const auto now = clock_.monotonic();
  health_.meters.resize(config_.meters.size());
  for (std::size_t i = 0; i < config_.meters.size(); ++i) {
    const auto& meter = config_.meters[i];
    health_.meters[i].device_id = meter.device_id;
    if (meter.profile.experimental) {
      log::notice(fmt::format("{}: the profile {} was gathered from public sources and never tried on the device: "
                              "compare its values with the display",
                              meter.device_id, meter.profile.id),
                  {{"DEVICE_ID", meter.device_id}});
    }
    learnt_[i].line.baud = config_.address.is_serial() ? config_.address.baud : 0;
    learnt_[i].forget_at = now + kForget;
  }
  recall(now);
  for (std::size_t i = 0; i < config_.meters.size(); ++i) make_plan(i);
}

/// What the meter is asked, as far as is known what it answers.
void Bus::make_plan(std::size_t meter) {
  const auto& config = config_.meters[meter];
  const auto& line = learnt_[meter].line;
  auto& plans = plans_[meter];
  plans.fast = plan(config.profile, Rows::fast, config.experimental, line);
  plans.all = plan(config.profile, Rows::all, config.experimental, line);
  std::vector<Request*> every;
  for (auto* requests : {&plans.fast, &plans.all}) {
    for (auto& request : *requests) every.push_back(&request);
  }
  if (config_.address.framing() == Framing::rtu && !learnt_[meter].is_strict) tell_apart(every, config.profile);
  learnt_[meter].has_news = false;
  learnt_[meter].mute.clear();  // the requests are other ones now
  learnt_[meter].unanswered.clear();
  std::vector<std::string> left_out;
  for (const auto& row : config.profile.registers) {
    if (touches_hole(row, line)) left_out.push_back(row.measurand);
  }
  const std::scoped_lock lock(mutex_);
  health_.meters[meter].left_out = std::move(left_out);
}

/// Takes over what was learnt before the program was started again.
void Bus::recall(Instant now) {
  if (config_.learnt_path.empty()) return;
  for (const auto& known : load_learnt(config_.learnt_path)) {
    const auto age = std::max<Timestamp::duration>(clock_.now() - known.since, 0s);
    for (std::size_t i = 0; i < config_.meters.size(); ++i) {
      const auto& meter = config_.meters[i];
      if (meter.unit != known.unit || layout_of(meter) != known.profile || age >= kForget) continue;
      auto& learnt = learnt_[i];
      learnt.line.holes = known.holes;
      learnt.line.max_registers = known.max_registers;
      learnt.is_strict = known.is_strict;
      learnt.since = known.since;
      learnt.forget_at = now + (kForget - age);
    }
  }
}

void Bus::save() const {
  if (config_.learnt_path.empty()) return;
  std::vector<LearntLine> lines;
  for (std::size_t i = 0; i < config_.meters.size(); ++i) {
    const auto& learnt = learnt_[i];
    if (learnt.line.holes.empty() && learnt.line.max_registers == 0 && !learnt.is_strict) continue;
    lines.push_back({config_.meters[i].unit, layout_of(config_.meters[i]), learnt.since, learnt.is_strict,
                     learnt.line.max_registers, learnt.line.holes});
  }
  if (const auto saved = save_learnt(config_.learnt_path, lines); !saved)
    log::warning(
        fmt::format("what the meters of {} refuse is not kept over a restart: {}", config_.id, saved.error().message));
}

/// Refusals do not hold for ever, also where nothing is left to be asked.
void Bus::forget_refusals(Instant now) {
  for (std::size_t meter = 0; meter < learnt_.size(); ++meter) {
    auto& learnt = learnt_[meter];
    if (now < learnt.forget_at) continue;
    learnt = {.base = learnt.base,
              .base_opening = learnt.base_opening,
              .line = {.baud = learnt.line.baud},
              .asked_anew_at = learnt.asked_anew_at,
              .forget_at = now + kForget};
    make_plan(meter);
  }
}

/// A meter that comes back is asked for everything: it may be another one, or have refused because it was starting.
void Bus::ask_anew(std::size_t meter, Instant now) {
  auto& learnt = learnt_[meter];
  if (learnt.line.holes.empty() || (learnt.asked_anew_at && now - *learnt.asked_anew_at < kAskAnew)) return;
  learnt.asked_anew_at = now;
  learnt.forget_at = now;
}

Instant Bus::step(Instant now) {
  forget_refusals(now);
  if (const auto turn = schedule_.take(now)) {
    this->turn(*turn, now);
    return clock_.monotonic();
  }
  return schedule_.next(now);
}

void Bus::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const auto next = step(clock_.monotonic());
    if (answer_one() || next <= clock_.monotonic()) continue;
    std::unique_lock lock(mutex_);
    wake_.wait_until(lock, stop, next, [this] { return !questions_.empty(); });
  }
}

Result<std::vector<std::uint16_t>> Bus::ask(const ReadRequest& request, std::chrono::milliseconds timeout,
                                            std::chrono::milliseconds patience) {
  const auto question = std::make_shared<Question>(request, timeout);
  auto answer = question->answer.get_future();
  {
    const std::scoped_lock lock(mutex_);
    questions_.push_back(question);
  }
  wake_.notify_all();
  if (answer.wait_for(patience) == std::future_status::ready) return answer.get();
  const std::scoped_lock lock(mutex_);
  std::erase(questions_, question);
  return fail(ErrorKind::retry,
              fmt::format("the bus {} had no time for it within {} ms", config_.id, patience.count()));
}

bool Bus::answer_one() {
  std::shared_ptr<Question> question;
  {
    const std::scoped_lock lock(mutex_);
    if (questions_.empty()) return false;
    question = questions_.front();
    questions_.pop_front();
  }
  const auto& [unit, function, address, count] = question->request;
  const auto began = clock_.monotonic();
  link_->set_timeout(question->timeout);
  if (const auto free = link_->free_at(question->request); free > began) {
    question->answer.set_value(fail(ErrorKind::retry, "late answers to something else may still come"));
    return true;
  }
  question->answer.set_value(link_->read(unit, function, address, count));
  schedule_.used(clock_.monotonic() - began, clock_.monotonic());
  return true;
}

void Bus::turn(const Schedule::Turn& turn, Instant now) {
  const auto outcome = poll(turn, now);
  const auto ended = clock_.monotonic();
  switch (outcome) {
    case Outcome::heard:
      if (schedule_.is_silent(turn.meter)) ask_anew(turn.meter, ended);
      schedule_.heard(turn, ended - now, ended);
      break;
    case Outcome::silent:
      learnt_[turn.meter].base.reset();
      schedule_.silent(turn, ended - now, ended);
      break;
    case Outcome::nothing: schedule_.skipped(turn, ended); break;
  }
  const auto timeout = patience_[turn.meter].timeout();
  const std::scoped_lock lock(mutex_);
  health_.load = schedule_.load(ended);
  health_.meters[turn.meter].timeout_ms = static_cast<int>(timeout.count());
}

Bus::Outcome Bus::poll(const Schedule::Turn& turn, Instant now) {
  if (!intake_.has_room()) {
    const std::scoped_lock lock(mutex_);
    health_.meters[turn.meter].skipped_full += 1;
    return Outcome::nothing;
  }
  const auto& meter = config_.meters[turn.meter];
  auto& learnt = learnt_[turn.meter];
  const auto began = clock_.stamp();
  Reading reading{.device_id = meter.device_id, .at = began.at, .quality = began.quality};
  asked_ = heard_ = 0;
  refused_.clear();
  refusal_.clear();
  auto outcome = find_base(turn.meter);
  if (outcome) outcome = read_all(turn, reading);
  learn_refusals(turn.meter, !reading.fields.empty(), now);
  if (learnt.has_news) {
    learnt.since = clock_.now();
    make_plan(turn.meter);
    save();
  }
  if (outcome && asked_ == 0) return Outcome::nothing;
  const auto took = std::chrono::duration<double, std::milli>(clock_.monotonic() - now).count();
  // A meter that refuses everything is one that is starting, or another one: it is asked as seldom as a silent one.
  const bool is_refused = outcome && reading.fields.empty() && !refusal_.empty();
  note(turn.meter, took, !outcome ? outcome.error().message : is_refused ? refusal_ : learnt.unanswered);
  const auto result = heard_ > 0 && !is_refused ? Outcome::heard : Outcome::silent;
  if (reading.fields.empty()) return result;
  const auto received = clock_.stamp();
  // The clock was set while the meter answered: both stamps are to be of one reckoning.
  if (received.quality != reading.quality) reading.at = received.at, reading.quality = received.quality;
  reading.received = received.at;
  intake_.put(std::move(reading));
  return result;
}

/// Reads what the turn asks for. What a meter never answers must not hide the rest of it: such requests come last, and
/// after a few turns only now and then. Errors: retry when nothing was heard, or too little.
Result<void> Bus::read_all(const Schedule::Turn& turn, Reading& reading) {
  auto& learnt = learnt_[turn.meter];
  auto requests = turn.slow ? plans_[turn.meter].all : plans_[turn.meter].fast;
  const auto key = [](const Request& request) { return std::pair(request.function, request.address); };
  const auto unanswered = [&](const Request& request) {
    const auto found = learnt.mute.find(key(request));
    return found == learnt.mute.end() ? 0 : found->second;
  };
  std::ranges::stable_sort(requests, {}, unanswered);
  ++learnt.turns;
  // One answer that is lost on the way does not make a meter silent. Whoever stays silent is not asked the rest: each
  // request would cost the bus a whole timeout.
  int repeats = schedule_.is_silent(turn.meter) ? 0 : 1;
  int lost = 0;
  for (auto request = requests.begin(); request != requests.end();) {
    const int before = unanswered(*request);
    if (before >= kMute && learnt.turns % kMuteTurns != 0) {
      ++request;
      continue;
    }
    const auto fields = reading.fields.size();
    auto answer = read(turn.meter, *request, reading);
    if (config_.meters[turn.meter].profile.delay > 0ms)
      std::this_thread::sleep_for(config_.meters[turn.meter].profile.delay);
    if (!answer && answer.error().kind != ErrorKind::retry) refusal_ = answer.error().message;
    if (answer || answer.error().kind != ErrorKind::retry) {
      learnt.mute.erase(key(*request++));
      continue;
    }
    reading.fields.resize(fields);  // what a part of it has said comes again, or is not to be trusted
    if (before == 0 && repeats-- > 0) continue;
    // Of a meter that says nothing at all nobody knows what it would not answer.
    learnt.mute[key(*request++)] = heard_ > 0 ? before + 1 : std::min(before + 1, kMute - 1);
    if (heard_ > 0) learnt.unanswered = answer.error().message;
    if (heard_ == 0 || ++lost > 1) return answer;
  }
  if (learnt.mute.empty()) learnt.unanswered.clear();
  return {};
}

/// Where a SunSpec meter's model begins is asked once a connection, and again after a silence: it may have got new
/// firmware, or be another one.
Result<void> Bus::find_base(std::size_t meter) {
  auto& known = learnt_[meter].base;
  if (known && learnt_[meter].base_opening == link_->openings()) return {};
  known.reset();
  link_->set_timeout(config_.address.timeout);  // not what the meter before needs
  const auto& config = config_.meters[meter];
  const auto base = base_of(*link_, config.unit, config.profile, config.instance);
  if (!base) return std::unexpected(base.error());
  known = *base;
  learnt_[meter].base_opening = link_->openings();
  return {};
}

Result<void> Bus::read(std::size_t meter, const Request& request, Reading& reading) {
  auto& learnt = learnt_[meter];
  const ReadRequest asked{config_.meters[meter].unit, request.function, learnt.base.value_or(0) + request.address,
                          request.count - (learnt.is_strict ? request.padding : 0)};
  // Left out this time, rather than taken from an answer to something else.
  if (link_->free_at(asked) > clock_.monotonic()) {
    left_out_ = true;
    return {};
  }
  ++asked_;
  link_->set_timeout(patience_[meter].timeout());
  const auto sent = clock_.monotonic();
  const auto words = link_->read(asked.unit, asked.function, asked.address, asked.count);
  const bool is_heard = words || words.error().kind != ErrorKind::retry;
  heard_ += is_heard;
  if (is_heard) patience_[meter].answered(clock_.monotonic() - sent);
  else patience_[meter].lost(link_->lateness(asked.unit));
  if (!words && words.error().kind == ErrorKind::unsupported) {
    if (request.padding == 0 || learnt.is_strict) return read_halves(meter, request, reading, words.error());
    learnt.is_strict = learnt.has_news = true;
    return read(meter, request, reading);
  }
  if (!words) return std::unexpected(words.error());
  if (link_->openings() != learnt.base_opening && !config_.meters[meter].profile.sunspec.empty()) {
    learnt.base.reset();
    return fail(ErrorKind::retry, "the connection is a new one: where its models begin is asked first");
  }
  for (const auto* row : request.rows) {
    learnt.refusals.erase(row);
    auto value = value_in(*row, request, *words);
    // Absence is absence: a sentinel makes no field, never a zero.
    if (value) reading.fields.push_back({row->measurand, std::move(*value)});
  }
  return {};
}

/// Rows that were refused by themselves are left out once that happened often enough not to be an accident, and while
/// others were answered: a meter that is starting may refuse all.
void Bus::learn_refusals(std::size_t meter, bool others_answered, Instant now) {
  if (!others_answered) return;
  auto& learnt = learnt_[meter];
  for (const auto* row : refused_) {
    auto& [count, counted_at] = learnt.refusals[row];
    if (count > 0 && now - counted_at < kApart) continue;
    counted_at = now;
    if (++count < kRefusals) continue;
    learnt.line.holes.push_back({row->function, row->first(), row->end()});
    learnt.has_news = true;
    const auto& id = config_.meters[meter].device_id;
    log::notice(
        fmt::format("{}: {} is not supported by the meter and is left out for a day: {}", id, row->measurand, refusal_),
        {{"DEVICE_ID", id}});
  }
}

Result<void> Bus::read_halves(std::size_t meter, const Request& request, Reading& reading, const Error& refusal) {
  if (request.rows.size() == 1) {
    refused_.insert(request.rows.front());
    refusal_ = refusal.message;
    return {};
  }
  auto& learnt = learnt_[meter];
  const auto before = refused_.size();
  const auto middle = request.rows.size() / 2;
  const auto first = part_of(request, 0, middle);
  const auto second = part_of(request, middle, request.rows.size());
  const bool outer = std::exchange(left_out_, false);
  for (const auto* half : {&first, &second}) {
    if (auto done = read(meter, *half, reading); !done) return done;
  }
  const bool is_told = !left_out_;
  left_out_ = left_out_ || outer;
  if (refused_.size() > before || !is_told) return {};
  // Each half by itself is answered: it is what lies between them that is refused, or so many registers at once.
  const auto gap = first.address + first.count;
  if (gap < second.address) learnt.line.holes.push_back({request.function, gap, second.address});
  else learnt.line.max_registers = std::max(first.count, second.count);
  learnt.has_news = true;
  return {};
}

void Bus::note(std::size_t meter, double ms, const std::string& error) {
  const std::scoped_lock lock(mutex_);
  auto& health = health_.meters[meter];
  const bool answered = heard_ > 0;
  const bool was_silent = !health.last_error.empty();
  health.polls += 1;
  health.failures += answered ? 0 : 1;
  health.lost += static_cast<std::uint64_t>(asked_ - heard_);
  if (answered) health.last_answer_ms = ms;
  if (!error.empty() && !was_silent)
    log::warning(fmt::format("{}: {}", health.device_id, error), {{"DEVICE_ID", health.device_id}});
  if (error.empty() && was_silent)
    log::notice(fmt::format("{}: answers again", health.device_id), {{"DEVICE_ID", health.device_id}});
  health.last_error = error;
}

BusHealth Bus::health() const {
  const std::scoped_lock lock(mutex_);
  return health_;
}

}  // namespace wattd::drivers::modbus
