// How a running daemon takes over another configuration, whoever has changed it.
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <map>

#include "api/diagnostics.h"
#include "daemon/daemon.h"
#include "daemon/own_alerts.h"
#include "storage/reader.h"

namespace wattd::daemon {
namespace {

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
  if (!(old.bundle == fresh.bundle)) log::warning("changes of [bundle] take effect at the next restart");
  if (!(old.replays == fresh.replays)) log::warning("changes of [[replay]] take effect at the next restart");
}

}  // namespace

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
  end_links();
  {
    const std::scoped_lock lock(mutex_);
    settings_ = std::move(settings);
  }
  start_links();
}

void Daemon::note_reload_begun() {
  const std::scoped_lock lock(reload_mutex_);
  ++begun_;
}

void Daemon::note_reload(const std::string& problem) {
  {
    const std::scoped_lock lock(reload_mutex_);
    reloads_ = begun_;
    reload_problem_ = problem;
  }
  reloaded_.notify_all();
}

Result<void> Daemon::ask_for_reload() {
  constexpr std::chrono::minutes kPatience{2};
  std::unique_lock lock(reload_mutex_);
  const auto before = begun_;  // one that runs already may have read what was there before
  ::kill(::getpid(), SIGHUP);  // main's thread reloads, whoever asks
  if (!reloaded_.wait_for(lock, kPatience, [&] { return reloads_ > before || is_ending_; }) || reloads_ <= before)
    return fail(ErrorKind::retry, "the configuration is not read again");
  if (!reload_problem_.empty()) return fail(ErrorKind::permanent, reload_problem_);
  return {};
}

void Daemon::start_bundles(bool must_exist) {
  if (!settings_.bundle) return;
  BundleHost host{.gateway_id = gateway_id_,
                  .ailments = [this] { return ailments(overview()); },
                  .clock_is_trusted = [this] { return clock_.is_trusted(); },
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

}  // namespace wattd::daemon
