#include "daemon/daemon.h"

#include <fmt/format.h>

#include <unistd.h>

#include <csignal>
#include <map>

#include "api/diagnostics.h"
#include "daemon/identity.h"
#include "daemon/own_alerts.h"
#include "daemon/thread.h"
#include "storage/reader.h"

namespace wattd::daemon {
namespace {

constexpr std::chrono::hours kLately{24};
constexpr std::chrono::seconds kBetweenLooks{10};  // at what the gateway says of itself

/// Says which changes a reload cannot make.
void warn_of_what_waits(const Settings& old, const Settings& fresh) {
  const auto& a = old.storage;
  const auto& b = fresh.storage;
  const bool storage = !(a == b);
  const bool api = old.api.port != fresh.api.port || old.api.socket_path != fresh.api.socket_path ||
                   old.api.address != fresh.api.address;
  const bool pipeline = old.pipeline.commit_interval != fresh.pipeline.commit_interval ||
                        old.pipeline.intake_capacity != fresh.pipeline.intake_capacity ||
                        old.pipeline.adjusted_counters != fresh.pipeline.adjusted_counters ||
                        old.pipeline.max_ahead != fresh.pipeline.max_ahead;
  if (storage) log::warning("changes of [storage] and [site] take effect at the next restart");
  if (api) log::warning("changes of [api] take effect at the next restart");
  if (pipeline) log::warning("changes of [pipeline] take effect at the next restart");
  if (old.clock_trust != fresh.clock_trust) log::warning("changes of [clock] take effect at the next restart");
  if (old.bundle.has_value() != fresh.bundle.has_value())
    log::warning("changes of [bundle] take effect at the next restart");
  if (!(old.replays == fresh.replays)) log::warning("changes of [[replay]] take effect at the next restart");
}

/// What tells a clock that is right from one that is not: nobody's clock may say less than what is known to be past.
GatewayClock::Trust trust_of(const Settings& settings, storage::Store& store, const Clock& clock) {
  const auto past = std::max(build_date(), store.seen_at_open() - settings.pipeline.max_ahead);
  return {settings.clock_trust, past, store.known_boot(clock.boot().id)};
}

/// What files say, and what the gateway brings itself.
std::vector<Rule> all_rules(const Settings& settings, const std::string& gateway_id) {
  auto rules = own_rules(settings.pipeline.rules, gateway_id);
  rules.insert(rules.end(), settings.rules.begin(), settings.rules.end());
  return rules;
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
  std::unique_ptr<Sources> sources;
  std::unique_ptr<Uplinks> uplinks;
  std::shared_ptr<Notices> notices;
  {
    const std::scoped_lock lock(mutex_);
    sources = std::move(sources_);
    uplinks = std::move(uplinks_);
    notices = std::move(notices_);
  }
  // Sources first: they wait for a last commit and acknowledge it. Then the pipeline drains, then nobody asks.
  for (auto& replay : replays_) replay.request_stop();
  replays_.clear();
  sources.reset();
  uplinks.reset();
  notices.reset();
  pipeline_thread_.request_stop();
  pipeline_thread_.join();
  pipeline_.set_listener(nullptr);
  pipeline_.set_outlet(nullptr);
  pipeline_.set_tally(nullptr);
  server_.stop();
  bundles_.reset();  // which the server asks until then
}

void Daemon::start_links() {
  routes_.set_collected(settings_.collected);
  // Cursors belong to the writer's thread; it hands out a copy.
  auto cursors = std::make_shared<std::vector<storage::Cursor>>();
  std::vector<std::string> sink_ids;
  for (const auto& sink : settings_.sinks) sink_ids.push_back(sink.id);
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

void Daemon::reload(Settings settings) {
  warn_of_what_waits(settings_, settings);
  auto old = settings_;
  try {
    apply(std::move(settings));
  } catch (const std::exception& problem) {
    // A gateway without sources would be worse than one with yesterday's.
    log::error(fmt::format("the new configuration does not work: {}; going back", problem.what()));
    apply(std::move(old));
    throw;
  }
}

namespace {

/// A rule in a file may have got the name of one that was made over the API: both judge.
void warn_of_namesakes(const std::vector<Rule>& rules) {
  std::map<std::string, const Rule*> named;
  for (const auto& rule : rules) {
    if (rule.status == RuleStatus::archived) continue;
    const auto [other, is_new] = named.emplace(rule.name, &rule);
    if (!is_new)
      log::warning(fmt::format("two rules are called {:?}, and both judge: {} and {}; wattctl rules shows them",
                               rule.name, other->second->id, rule.id));
  }
}

}  // namespace

void Daemon::apply(Settings settings) {
  log::set_level(settings.log_level);
  // Shared with the change, which may run after we have given up waiting for it.
  const auto fresh = std::make_shared<const Settings>(settings);
  const bool taken = pipeline_.change_and_wait(
      [fresh, this](pipeline::Pipeline& pipeline) {
        pipeline.registry().configure(fresh->registry, clock_.now());
        pipeline.describe_series();
        if (const auto done = pipeline.store().provision_rules(all_rules(*fresh, gateway_id_), clock_.now()); !done) {
          log::error("the rules could not be written: " + done.error().message);
          return;
        }
        warn_of_namesakes(pipeline.store().rules());
        pipeline.renew_rules(fresh->pipeline.rules);
        pipeline.set_subscriptions(fresh->pipeline.subscriptions);
      },
      std::chrono::seconds{30});
  if (!taken) log::error("the pipeline is busy; devices and rules are taken over as soon as it is not");
  std::unique_ptr<Sources> sources;
  std::unique_ptr<Uplinks> uplinks;
  std::shared_ptr<Notices> notices;
  {
    const std::scoped_lock lock(mutex_);
    sources = std::move(sources_);
    uplinks = std::move(uplinks_);
    notices = std::move(notices_);
    settings_ = std::move(settings);
  }
  sources.reset();
  uplinks.reset();
  notices.reset();
  start_links();
}

void Daemon::note_reload(const std::string& problem) {
  {
    const std::scoped_lock lock(reload_mutex_);
    ++reloads_;
    reload_problem_ = problem;
  }
  reloaded_.notify_all();
}

Result<void> Daemon::ask_for_reload() {
  constexpr std::chrono::minutes kPatience{2};
  std::unique_lock lock(reload_mutex_);
  const auto before = reloads_;
  ::kill(::getpid(), SIGHUP);  // main's thread reloads, whoever asks
  if (!reloaded_.wait_for(lock, kPatience, [&] { return reloads_ != before || is_ending_; }) || reloads_ == before)
    return fail(ErrorKind::retry, "the configuration is not read again");
  if (!reload_problem_.empty()) return fail(ErrorKind::permanent, reload_problem_);
  return {};
}

void Daemon::start_bundles(bool must_exist) {
  if (!settings_.bundle) return;
  BundleHost host{.gateway_id = gateway_id_,
                  .ailments = [this] { return ailments(overview()); },
                  .check = [path = settings_.config_path,
                            must_exist](const std::string& directory) { load_settings(path, must_exist, directory); },
                  .reload = [this] { return ask_for_reload(); },
                  .diagnostics =
                      [this] {
                        storage::Reader reader(store_.path(), store_.vault());
                        return api::diagnostics_of(overview(), pipeline_, reader, clock_);
                      }};
  bundles_ = std::make_unique<Bundles>(*settings_.bundle, BundleStore(settings_.storage.directory + "/bundle"),
                                       std::move(host));
  bundles_in_use_ = bundles_.get();
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
