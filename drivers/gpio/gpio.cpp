#include "drivers/gpio/gpio.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "telemetry/log.h"

namespace wattd::drivers::gpio {
namespace {

using namespace std::chrono_literals;

constexpr auto kLook = 500ms;      // at the stop token
constexpr auto kAskAgain = 1s;     // for a commit that takes along what is to be told
constexpr int kPause = 1000;       // ms, before a chip is opened again
constexpr std::size_t kKept = 16;  // edges of a line, by the kernel, until they are read
constexpr double kJoules = 3.6e6;

}  // namespace

void Totals::begin(const std::string& device, std::int64_t pulses) {
  const std::scoped_lock lock(mutex_);
  pulses_.try_emplace(device, pulses);
}

bool Totals::knows(const std::string& device) const {
  const std::scoped_lock lock(mutex_);
  return pulses_.contains(device);
}

void Totals::count(const std::string& device) {
  const std::scoped_lock lock(mutex_);
  ++pulses_[device];
}

std::int64_t Totals::of(const std::string& device) const {
  const std::scoped_lock lock(mutex_);
  const auto found = pulses_.find(device);
  return found == pulses_.end() ? 0 : found->second;
}

std::vector<LineConfig> lines_of(const ChipConfig& config) {
  std::vector<LineConfig> lines;
  for (const auto& pulse : config.pulses) lines.push_back(pulse.line);
  for (const auto& input : config.inputs) lines.push_back(input.line);
  for (const auto& output : config.outputs) lines.push_back(output.line);
  return lines;
}

Gpio::Gpio(ChipConfig config, std::unique_ptr<Lines> lines, std::shared_ptr<Totals> totals, Intake& intake,
           const Clock& clock)
    : config_(std::move(config)),
      lines_(std::move(lines)),
      totals_(std::move(totals)),
      intake_(intake),
      clock_(clock),
      pulses_(config_.pulses.size()),
      wanted_(config_.outputs.size()) {}

std::string Gpio::last_error() const {
  const std::scoped_lock lock(mutex_);
  return error_;
}

void Gpio::set_error(std::string message) {
  const std::scoped_lock lock(mutex_);
  if (!message.empty() && message != error_) log::warning(message + "; trying again");
  if (message.empty() && !error_.empty()) log::notice(fmt::format("GPIO chip {} is there again", config_.chip));
  error_ = std::move(message);
}

void Gpio::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (const auto done = step(clock_.monotonic() + kLook); !done) {
      set_error(done.error().message);
      is_open_ = false;
      poll(nullptr, 0, kPause);
    }
  }
  // What was counted since the last commit; the pipeline still runs.
  for (auto& reading : take()) intake_.put(std::move(reading));
}

/// Opens the lines and looks how they are. A pulse that began while nobody looked is not counted: it may have been
/// counted before.
Result<void> Gpio::open() {
  if (is_open_) return {};
  if (auto opened = lines_->open(); !opened) return opened;
  inputs_.clear();
  doubtful_.clear();
  for (std::size_t i = 0; i < config_.pulses.size() + config_.inputs.size(); ++i) {
    const auto value = lines_->value(i);
    if (!value) return std::unexpected(value.error());
    if (i < config_.pulses.size()) {
      const std::scoped_lock lock(mutex_);
      pulses_[i].contact = Debounce(*value, config_.pulses[i].debounce);
      pulses_[i].watched_since = clock_.monotonic();
    } else {
      inputs_.emplace_back(*value, config_.inputs[i - config_.pulses.size()].debounce);
      tell_input(i - config_.pulses.size());
    }
  }
  {
    const std::scoped_lock lock(mutex_);
    for (std::size_t i = 0; i < wanted_.size(); ++i) {
      if (auto set = lines_->set(output_line(i), wanted_[i]); !set) return set;
    }
    is_open_ = true;
  }
  set_error("");
  return {};
}

Result<void> Gpio::step(Instant until) {
  if (auto opened = open(); !opened) return opened;
  if (is_to_be_told(clock_.monotonic())) intake_.expect_commit();
  const auto edges = lines_->wait(next_settling(until));
  if (!edges) return std::unexpected(edges.error());
  for (const auto& edge : *edges) {
    settle_line(edge.line, edge.at);  // what had held before this edge
    if (edge.line >= config_.pulses.size()) {
      inputs_[edge.line - config_.pulses.size()].edge(edge.active, edge.at);
      continue;
    }
    const std::scoped_lock lock(mutex_);
    pulses_[edge.line].contact.edge(edge.active, edge.at);
  }
  if (auto looked = look_again(*edges); !looked) return looked;
  settle(clock_.monotonic());
  return {};
}

/// The kernel keeps a few edges a line and drops the newest: after such a burst the line may be otherwise than the last
/// one said. It is looked at once nothing of it waits to be read: an edge that does has its own time, and a pulse must
/// neither be cut short by what the line is now nor be made longer.
Result<void> Gpio::look_again(const std::vector<Edge>& edges) {
  std::map<std::size_t, std::size_t> came;
  for (const auto& edge : edges) ++came[edge.line];
  for (auto line = doubtful_.begin(); line != doubtful_.end();) {
    if (came.contains(*line)) {
      ++line;
      continue;
    }
    const auto value = lines_->value(*line);
    if (!value) return std::unexpected(value.error());
    const auto now = clock_.monotonic();
    settle_line(*line, now);
    if (*line >= config_.pulses.size()) {
      inputs_[*line - config_.pulses.size()].edge(*value, now);
    } else {
      const std::scoped_lock lock(mutex_);
      pulses_[*line].contact.edge(*value, now);
    }
    line = doubtful_.erase(line);
  }
  for (const auto& [line, count] : came) {
    if (count >= kKept) doubtful_.insert(line);
  }
  return {};
}

/// Whether a counter that stands still has not been told of for a period; asked for once a second at most.
bool Gpio::is_to_be_told(Instant now) {
  if (now - expected_at_ < kAskAgain) return false;
  const std::scoped_lock lock(mutex_);
  if (std::ranges::none_of(pulses_, [&](const Pulse& one) { return now - one.told_at >= config_.period; }))
    return false;
  expected_at_ = now;
  return true;
}

Instant Gpio::next_settling(Instant otherwise) const {
  const std::scoped_lock lock(mutex_);
  for (const auto& pulse : pulses_) otherwise = std::min(otherwise, pulse.contact.due().value_or(otherwise));
  for (const auto& input : inputs_) otherwise = std::min(otherwise, input.due().value_or(otherwise));
  return otherwise;
}

void Gpio::settle(Instant now) {
  for (std::size_t line = 0; line < config_.pulses.size() + config_.inputs.size(); ++line) settle_line(line, now);
}

void Gpio::settle_line(std::size_t line, Instant now) {
  if (line >= config_.pulses.size()) {
    const auto which = line - config_.pulses.size();
    if (which < inputs_.size() && inputs_[which].settle(now)) tell_input(which);
    return;
  }
  std::optional<Instant> began;
  bool is_pulse = false;
  {
    const std::scoped_lock lock(mutex_);
    auto& contact = pulses_[line].contact;
    began = contact.settle(now);
    is_pulse = began && contact.state();
  }
  if (is_pulse) note_pulse(line, *began);
}

void Gpio::note_pulse(std::size_t which, Instant at) {
  totals_->count(config_.pulses[which].device);
  {
    const std::scoped_lock lock(mutex_);
    auto& pulse = pulses_[which];
    if (pulse.last != Instant{}) pulse.apart = at - pulse.last;
    pulse.last = at;
  }
  intake_.expect_commit();
}

void Gpio::tell_input(std::size_t which) {
  const auto stamp = clock_.stamp();
  Reading reading{
      .device_id = config_.inputs[which].device, .at = stamp.at, .received = stamp.at, .quality = stamp.quality};
  reading.fields.push_back({config_.inputs[which].field, Value(inputs_[which].state())});
  intake_.put(std::move(reading));
}

Reading Gpio::reading_of(const PulseConfig& config, const Pulse& pulse, std::int64_t pulses, Instant now) const {
  const auto stamp = clock_.stamp();
  Reading reading{.device_id = config.device, .at = stamp.at, .received = stamp.at, .quality = stamp.quality};
  reading.fields.push_back({"pulses", Value(pulses)});
  // Whole pulses first: sums of fractions would drift.
  const double counted = config.start + static_cast<double>(pulses) * config.factor / config.per_unit;
  reading.fields.push_back({config.measurand, Value(std::round(counted * 1e6) / 1e6)});
  // While the next pulse stays away, the power can have been no higher than this. So it is after a start, once nothing
  // has come for a while: what was told of before must not stand for ever.
  const auto since = pulse.last == Instant{} ? pulse.watched_since : pulse.last;
  const bool is_quiet = now - since >= config_.period;
  if (config.measurand.starts_with("energy_") && (pulse.apart > Instant::duration{} || is_quiet)) {
    const auto apart = std::max<Instant::duration>(pulse.apart, now - since);
    const double watts = kJoules * config.factor / config.per_unit / std::chrono::duration<double>(apart).count();
    reading.fields.push_back({"power_total", Value(std::round(watts * 10) / 10)});
  }
  return reading;
}

std::vector<Reading> Gpio::take() {
  std::vector<Reading> readings;
  const auto now = clock_.monotonic();
  const std::scoped_lock lock(mutex_);
  for (std::size_t i = 0; i < pulses_.size(); ++i) {
    auto& pulse = pulses_[i];
    const auto pulses = totals_->of(config_.pulses[i].device);
    // A chip that is not there says nothing of a counter: absence, not an old value.
    if (!is_open_ && (pulse.told < 0 || pulses == pulse.told)) continue;
    if (pulses == pulse.told && now - pulse.told_at < config_.period) continue;
    readings.push_back(reading_of(config_.pulses[i], pulse, pulses, now));
    pulse.told = pulses, pulse.told_at = now;
  }
  return readings;
}

void Gpio::drive(const std::array<std::int64_t, 4>& alerts, const std::vector<std::string>& channels) {
  const std::scoped_lock lock(mutex_);
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    const auto severity = static_cast<std::ptrdiff_t>(config_.outputs[i].severity);
    const auto& channel = config_.outputs[i].channel;
    const bool any = channel.empty()
                         ? std::any_of(alerts.begin() + severity, alerts.end(), [](auto count) { return count > 0; })
                         : std::ranges::find(channels, channel) != channels.end();
    if (any == wanted_[i]) continue;
    wanted_[i] = any;
    log::notice(fmt::format("relay {} is to be {}", config_.outputs[i].id, any ? "on" : "off"));
    // One that cannot be set now is when the chip is opened again, which step() does once it notices.
    if (is_open_ && !lines_->set(output_line(i), any)) is_open_ = false;
  }
}

}  // namespace wattd::drivers::gpio
