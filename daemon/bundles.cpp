#include "daemon/bundles.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <random>
#include <utility>

#include "daemon/settings.h"
#include "daemon/thread.h"
#include "telemetry/log.h"

namespace wattd::daemon {
namespace {

using namespace std::chrono_literals;

constexpr int kMostStarts = 3;         // of the daemon during a trial
constexpr auto kBetweenLooks = 500ms;  // during a trial, at the gateway itself
constexpr auto kBetweenFetches = 2s;   // and at the other side

}  // namespace

std::set<std::string> ailments(const api::Overview& overview) {
  std::set<std::string> ill;
  for (const auto& connection : overview.connections) {
    if (!connection.connected) ill.insert("mqtt " + connection.id);
  }
  for (const auto& bus : overview.buses) {
    const auto& meters = bus.health.meters;
    const bool answers =
        meters.empty() || std::ranges::any_of(meters, [](const auto& meter) { return meter.failures < meter.polls; });
    if (!answers) ill.insert("bus " + bus.id);
  }
  for (const auto& chip : overview.chips) {
    if (!chip.last_error.empty()) ill.insert("gpio " + chip.chip);
  }
  for (const auto& [sink, job] : overview.sinks) {
    // One that has not answered yet may be one that never will.
    const bool is_asked = sink.waiting_since && !sink.last_success && !sink.rests;
    if (!sink.last_error.empty() || is_asked) ill.insert("sink " + sink.id);
  }
  return ill;
}

void look_after_bundles(const std::string& config_path, bool must_exist) {
  BundleStore store(bundle_directory(config_path, must_exist));
  if (store.state().applied == 0) return;
  if (store.state().trial) {
    try {
      store.count_start();
    } catch (const std::exception& problem) {
      log::error(problem.what());  // a gateway that measures is worth more than one that counts its starts
    }
    if (store.state().starts > kMostStarts) {
      log::error(fmt::format("bundle {} is taken back: the daemon was started {} times with it", store.state().applied,
                             store.state().starts));
      store.roll_back(fmt::format("the daemon was started {} times during its trial", store.state().starts));
    }
  }
  // At most twice: to the one before, and to none.
  while (store.state().applied != 0) {
    try {
      load_settings(config_path, must_exist, store.current());
      return;
    } catch (const config::ConfigError& problem) {
      load_settings(config_path, must_exist, "");  // where a person's own files are wrong, that is said
      log::error(fmt::format("bundle {} is taken back: {}", store.state().applied, problem.what()));
      store.roll_back(problem.what());
    }
  }
}

Bundles::Bundles(sync::BundleConfig config, BundleStore store, BundleHost host)
    : config_(std::move(config)),
      host_(std::move(host)),
      store_(std::move(store)),
      source_(sync::bundle_source(config_, host_.gateway_id)) {
  publish();
  thread_ = start_thread("bundles", [this](const std::stop_token& stop) { run(stop); });
}

Bundles::Status Bundles::status() const {
  const std::scoped_lock lock(mutex_);
  return status_;
}

void Bundles::publish() {
  const std::scoped_lock lock(mutex_);
  status_.state = store_.state();
}

/// What the server is told.
std::string Bundles::state_text() const {
  const auto& state = store_.state();
  auto text = fmt::format("applied={}", state.applied);
  if (state.trial) text += "; trial";
  if (state.refused != 0) text += fmt::format("; refused={}; why={}", state.refused, state.why);
  return text;
}

void Bundles::pause(std::chrono::milliseconds time, const std::stop_token& stop) const {
  std::mutex mutex;
  std::condition_variable_any woken;
  std::unique_lock lock(mutex);
  woken.wait_for(lock, stop, time, [] { return false; });
}

void Bundles::run(const std::stop_token& stop) {
  std::minstd_rand chance(std::random_device{}());
  while (!stop.stop_requested()) {
    try {
      // A restart in the midst of it begins the trial's time anew; the starts are counted.
      if (store_.state().trial) go_through_trial(stop);
      look(stop);
      if (fetched_) later_ = std::exchange(fetched_, std::nullopt);
      if (later_ && take(*later_, stop)) later_.reset();
      answer_request(stop);
    } catch (const std::exception& problem) {
      // Such as a full disk. What was not written down has not happened.
      log::error(fmt::format("the bundle waits: {}", problem.what()));
      const std::scoped_lock lock(mutex_);
      status_.last_error = problem.what();
    }
    if (fetched_) continue;  // it came during a trial
    // A fleet that was switched on together does not come together.
    const auto every = std::chrono::duration_cast<std::chrono::milliseconds>(config_.every);
    pause(every * std::uniform_int_distribution(80, 120)(chance) / 100, stop);
  }
}

bool Bundles::look(const std::stop_token& stop) {
  const auto found = source_->fetch(state_text(), stop);
  {
    const std::scoped_lock lock(mutex_);
    if (!found && status_.last_error.empty() && !stop.stop_requested())
      log::warning("no bundle can be fetched: " + found.error().message);
    status_.last_error = found ? "" : found.error().message;
  }
  if (found && *found) fetched_ = *found;
  return found.has_value();
}

bool Bundles::refuse(std::uint64_t serial, const std::string& why) {
  log::error(fmt::format("bundle {} is not taken: {}", serial, why));
  store_.refuse(serial, why);
  publish();
  return true;
}

bool Bundles::take(const std::string& bytes, const std::stop_token& stop) {
  const auto bundle = config::open_bundle(bytes, config_.public_key);
  if (!bundle) {
    // Of what is not signed nothing is believed, its serial neither.
    log::error("what was fetched is not taken: " + bundle.error().message);
    const std::scoped_lock lock(mutex_);
    status_.last_error = bundle.error().message;
    return true;
  }
  if (!store_.is_news(bundle->serial)) return true;
  if (!bundle->is_for(host_.gateway_id)) return refuse(bundle->serial, "it is for other gateways");
  if (bundle->expires && !host_.clock_is_trusted()) return false;  // nobody knows yet whether it has expired
  const auto now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  if (bundle->expires && now >= *bundle->expires) return refuse(bundle->serial, "it has expired");
  store_.put(*bundle);
  try {
    host_.check(store_.directory_of(bundle->serial));
  } catch (const std::exception& problem) {
    return refuse(bundle->serial, problem.what());
  }
  store_.begin_trial(bundle->serial, host_.ailments());
  publish();
  log::notice(fmt::format("bundle {} is taken over, on trial for {} s", bundle->serial, config_.trial.count()));
  // One that is only late, or comes to its end, may still have been taken over: the trial tells.
  if (const auto taken = host_.reload(); !taken && taken.error().kind != ErrorKind::retry)
    go_back(taken.error().message);
  else go_through_trial(stop);
  return true;
}

/// Well is who can still be reached, and in whom nothing is ill that was not before.
void Bundles::go_through_trial(const std::stop_token& stop) {
  const auto began = std::chrono::steady_clock::now();
  const auto least = std::min<std::chrono::milliseconds>(config_.trial / 4, 30s);
  std::string why = "it was not well in time";
  auto looks_at = began;
  while (!stop.stop_requested()) {
    pause(kBetweenLooks, stop);
    if (stop.stop_requested()) return;
    const auto passed = std::chrono::steady_clock::now() - began;
    if (passed > config_.trial) return go_back(why);
    if (passed < least) continue;
    std::string ill;
    for (const auto& name : host_.ailments()) {
      if (!store_.state().ill.contains(name)) ill += (ill.empty() ? "" : ", ") + name;
    }
    if (!ill.empty()) {
      why = "does not work: " + ill;
      continue;
    }
    if (std::chrono::steady_clock::now() < looks_at) continue;
    looks_at = std::chrono::steady_clock::now() + kBetweenFetches;
    if (!look(stop)) {
      why = "bundles cannot be fetched any more: " + status().last_error;
      continue;
    }
    store_.confirm();
    publish();
    log::notice(fmt::format("bundle {} is in use: everything is well with it", store_.state().applied));
    return;
  }
}

void Bundles::go_back(const std::string& why) {
  const auto serial = store_.state().applied;
  store_.roll_back(why);
  publish();
  log::error(fmt::format("bundle {} is taken back: {}", serial, why));
  if (const auto done = host_.reload(); !done) log::error("going back does not work: " + done.error().message);
}

void Bundles::answer_request(const std::stop_token& stop) {
  const auto request = source_->wants_diagnostics();
  if (request.empty() || request == store_.state().diagnosed) return;
  const auto sent = source_->send_diagnostics(request, host_.diagnostics(), stop);
  if (!sent) {
    log::warning("diagnostics were asked for and cannot be sent: " + sent.error().message);
    return;
  }
  store_.note_diagnosed(request);
  publish();
  log::notice(fmt::format("diagnostics were sent for request {:?}", request));
}

}  // namespace wattd::daemon
