#include "daemon/daemon.h"

#include <fmt/format.h>

#include "daemon/identity.h"
#include "daemon/own_alerts.h"
#include "daemon/thread.h"
#include "storage/reader.h"

namespace wattd::daemon {
namespace {

constexpr std::chrono::hours kLately{24};
constexpr std::chrono::seconds kBetweenLooks{10};  // at what the gateway says of itself

/// What tells a clock that is right from one that is not: nobody's clock may say less than what is known to be past.
GatewayClock::Trust trust_of(const Settings& settings, storage::Store& store, const Clock& clock) {
  const auto past = std::max(build_date(), store.seen_at_open() - settings.pipeline.max_ahead);
  return {settings.clock_trust, past, store.known_boot(clock.boot().id)};
}

/// Rules, and alerts that stand, have to be in the database before the pipeline reads them from there.
storage::Store& provisioned(storage::Store& store, const Settings& settings, const std::string& gateway_id,
                            Timestamp now) {
  auto done = store.provision_rules(all_rules(settings, gateway_id), now);
  if (done) done = raise_own_alerts(store, gateway_id, now);
  if (!done) throw std::runtime_error(done.error().message);
  return store;
}

}  // namespace

Daemon::Daemon(Settings settings)
    : started_at_(clock_.now()),
      directory_lock_(settings.storage.directory),
      gateway_id_(gateway_id(settings.storage.directory)),
      store_(settings.storage),
      registry_(settings.registry, store_.devices(), started_at_),
      settings_(std::move(settings)),
      self_(settings_.storage.directory),
      pipeline_(settings_.pipeline, provisioned(store_, settings_, gateway_id_, started_at_), registry_, clock_),
      routes_(*this, pipeline_, store_, clock_),
      server_(settings_.api, [this](const api::Request& request) { return routes_.answer(request); }) {
  log::set_level(settings_.log_level);
  clock_.set_trust(trust_of(settings_, store_, clock_));
  if (!clock_.is_trusted()) {
    log::warning(settings_.clock_trust == ClockTrust::ntp
                     ? "nothing has synchronised the clock yet: readings that it stamps are held until it is; set up "
                       "NTP, or clock.trust = \"rtc\" where there is a battery instead"
                     : "the clock says less than what is known to be past: readings that it stamps are held until it "
                       "is set; is its battery empty?");
  }
  pipeline_.set_listener(this);
  pipeline_.set_outlet(this);
  pipeline_.set_tally(this);
  pipeline_thread_ = start_thread("pipeline", [this](const std::stop_token& stop) { pipeline_.run(stop); });
  server_.start();
  start_links();
  for (const auto& replay : settings_.replays) replays_.push_back(start_replay(replay, pipeline_, clock_));
}

Daemon::~Daemon() {
  {
    const std::scoped_lock lock(reload_mutex_);
    is_ending_ = true;
  }
  reloaded_.notify_all();
  // Sources first. Then the pipeline drains, then nobody asks.
  for (auto& replay : replays_) replay.request_stop();
  replays_.clear();
  end_links();
  pipeline_thread_.request_stop();
  pipeline_thread_.join();
  pipeline_.set_listener(nullptr);
  pipeline_.set_outlet(nullptr);
  pipeline_.set_tally(nullptr);
  server_.stop();
  bundles_.reset();  // which the server asks until then
}

void Daemon::end_links() {
  std::unique_ptr<Sources> sources;
  std::unique_ptr<Uplinks> uplinks;
  std::shared_ptr<Notices> notices;
  {
    const std::scoped_lock lock(mutex_);
    sources = std::move(sources_);
    uplinks = std::move(uplinks_);
    notices = std::move(notices_);
  }
  // Sources wait for a last commit and acknowledge it.
  sources.reset();
  uplinks.reset();
  notices.reset();
}

void Daemon::start_links() {
  routes_.set_collected(settings_.collected);
  // Cursors belong to the writer's thread; it hands out a copy.
  auto cursors = std::make_shared<std::vector<storage::Cursor>>();
  std::vector<std::string> sink_ids;
  for (const auto& sink : settings_.sinks) {
    // What follows readings is made of what is stored, for as long as that is.
    if (std::ranges::find(sink.streams, sync::Stream::readings) != sink.streams.end()) sink_ids.push_back(sink.id);
  }
  const bool asked = pipeline_.change_and_wait(
      [cursors, sink_ids](pipeline::Pipeline& pipeline) {
        pipeline.store().set_sinks(sink_ids);
        *cursors = pipeline.store().cursors();
      },
      std::chrono::seconds{30});
  if (!asked) throw std::runtime_error("the pipeline does not run");
  auto uplinks = std::make_unique<Uplinks>(settings_, gateway_id_, *cursors, store_, pipeline_, clock_);
  recall_pulses();
  auto sources = std::make_unique<Sources>(settings_, gateway_id_, pulses_, pipeline_, clock_);
  sources->drive_relays(active_alerts(), pipeline_.standing_channels());
  const auto notices = std::make_shared<Notices>(settings_, gateway_id_, pipeline_, clock_);
  {
    const std::scoped_lock lock(mutex_);
    uplinks_ = std::move(uplinks);
    sources_ = std::move(sources);
    notices_ = notices;
  }
  // Not kept alive by what waits on the pipeline: the last to let go of it joins its threads.
  pipeline_.change([weak = std::weak_ptr(notices)](pipeline::Pipeline& pipeline) {
    if (const auto alive = weak.lock()) alive->begin(pipeline);
  });
}

namespace {

/// A total only grows: the highest of late is the last, though a clock that was put back may have stamped it with an
/// earlier time than one before. Errors: throws std::runtime_error.
std::int64_t last_pulses(storage::Reader& reader, const std::string& device, Timestamp now) {
  const auto latest = reader.latest(device);
  if (!latest) throw std::runtime_error(latest.error().message);
  const auto newest = std::ranges::find(*latest, "pulses", [](const auto& one) { return one.series.field; });
  if (newest == latest->end()) return 0;
  double most = as_number(newest->sample.value).value_or(0);
  const auto from = std::min(now, newest->sample.at) - kLately;
  const auto seen = reader.visit(device, {"pulses"}, {from, storage::kAlways.to}, [&](const Reading& stored) {
    if (!stored.fields.empty()) most = std::max(most, as_number(stored.fields.front().value).value_or(0));
    return true;
  });
  if (!seen) throw std::runtime_error(seen.error().message);
  return static_cast<std::int64_t>(most);
}

}  // namespace

/// Where pulse counters stood when they were last stored; those that have counted since start are known.
void Daemon::recall_pulses() {
  std::optional<storage::Reader> reader;
  for (const auto& chip : settings_.chips) {
    for (const auto& pulse : chip.pulses) {
      if (pulses_->knows(pulse.device)) continue;
      if (!reader) reader.emplace(store_.path(), store_.vault());
      pulses_->begin(pulse.device, last_pulses(*reader, pulse.device, clock_.now()));
    }
  }
}

std::array<std::int64_t, 4> Daemon::active_alerts() const {
  std::array<std::int64_t, 4> active{};
  const auto& counts = pipeline_.counts().active_alerts;
  std::ranges::transform(counts, active.begin(), [](const auto& count) { return count.load(); });
  return active;
}

void Daemon::watch_itself() {
  if (clock_.monotonic() < look_at_) return;
  look_at_ = clock_.monotonic() + kBetweenLooks;
  auto reading = self_.look(overview(), clock_.now());
  pipeline_.change([reading = std::move(reading)](pipeline::Pipeline& pipeline) { pipeline.judge_own(reading); });
}

api::Overview Daemon::overview() const {
  api::Overview overview;
  overview.gateway_id = gateway_id_;
  overview.database = store_.path();
  overview.set_aside = store_.set_aside();
  overview.clock_is_trusted = clock_.is_trusted();
  overview.clock_steps = clock_.steps();
  overview.started_at = started_at_;
  overview.usage = pipeline_.usage();
  const std::scoped_lock lock(mutex_);
  overview.config_path = settings_.config_path;
  overview.missing = missing_parts(settings_);
  if (sources_)
    overview.connections = sources_->connections(), overview.buses = sources_->buses(),
    overview.chips = sources_->chips();
  if (uplinks_) overview.sinks = uplinks_->status();
  if (notices_) overview.channels = notices_->status();
  if (const auto* bundles = bundles_in_use_.load()) {
    const auto [state, last_error] = bundles->status();
    overview.bundle = api::BundleStatus{.applied = state.applied,
                                        .trial = state.trial,
                                        .refused = state.refused,
                                        .why = state.why,
                                        .last_error = last_error};
  }
  return overview;
}

namespace {

Error no_such_bus(const std::string& bus) {
  return {ErrorKind::permanent, fmt::format("there is no bus {:?}; wattctl status names them", bus)};
}

}  // namespace

Result<api::BusTrace> Daemon::trace_bus(const std::string& bus, std::uint64_t after) const {
  const std::scoped_lock lock(mutex_);
  const auto trace = sources_ ? sources_->trace(bus) : nullptr;
  if (!trace) return std::unexpected(no_such_bus(bus));
  return api::BusTrace{sources_->bus(bus)->config().address.framing(), trace->since(after, clock_.monotonic())};
}

Result<std::vector<std::uint16_t>> Daemon::ask_meter(const std::string& bus,
                                                     const drivers::modbus::ReadRequest& request,
                                                     std::chrono::milliseconds timeout) const {
  std::shared_ptr<drivers::modbus::Bus> asked;
  {
    const std::scoped_lock lock(mutex_);
    if (sources_) asked = sources_->bus(bus);
  }
  if (!asked) return std::unexpected(no_such_bus(bus));
  return asked->ask(request, timeout, timeout + std::chrono::seconds{3});
}

Result<std::vector<std::string>> Daemon::check_channels(const Rule& rule) const {
  const std::scoped_lock lock(mutex_);
  return daemon::check_channels(rule, settings_);
}

Result<std::string> Daemon::test_channel(const std::string& channel, const std::string& recipient) const {
  std::shared_ptr<Notices> notices;
  {
    const std::scoped_lock lock(mutex_);
    notices = notices_;
  }
  if (!notices) return fail(ErrorKind::retry, "the channels are being set up");
  return notices->test(channel, recipient);
}

namespace {

std::unexpected<Error> sinks_are_set_up() { return fail(ErrorKind::retry, "the sinks are being set up"); }

}  // namespace

Result<void> Daemon::pause_sink(const std::string& sink, bool paused) const {
  const std::scoped_lock lock(mutex_);
  return uplinks_ ? uplinks_->pause(sink, paused) : sinks_are_set_up();
}

Result<void> Daemon::start_job(const std::string& sink, const sync::JobRequest& request) const {
  const std::scoped_lock lock(mutex_);
  return uplinks_ ? uplinks_->start(sink, request) : sinks_are_set_up();
}

Result<void> Daemon::cancel_job(const std::string& sink) const {
  const std::scoped_lock lock(mutex_);
  return uplinks_ ? uplinks_->cancel(sink) : sinks_are_set_up();
}

void Daemon::on_committed(const std::shared_ptr<const pipeline::Committed>& group) noexcept {
  server_.on_committed(group);
  const std::scoped_lock lock(mutex_);
  if (uplinks_) uplinks_->wake(), uplinks_->offer(group);
  if (notices_) notices_->tell(*group);
  if (sources_) sources_->drive_relays(active_alerts(), pipeline_.standing_channels());
}

std::vector<Reading> Daemon::take() noexcept {
  const std::scoped_lock lock(mutex_);
  return sources_ ? sources_->take_totals() : std::vector<Reading>{};
}

void Daemon::tell(const drivers::mqtt::Command& command) noexcept {
  const std::scoped_lock lock(mutex_);
  if (sources_) sources_->tell(command);
}

std::string Daemon::status_line() const {
  const auto& counts = pipeline_.counts();
  const auto problem = pipeline_.commit_problem();
  if (!problem.empty()) return "NOT COMMITTING: " + problem;
  return fmt::format("{} readings committed, {} dead letters, {} alerts", counts.committed.load(),
                     counts.rejected.load(), counts.alerts.load());
}

}  // namespace wattd::daemon
