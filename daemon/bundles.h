#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "api/gateway.h"
#include "daemon/bundle_store.h"
#include "sync/bundle_source.h"

namespace wattd::daemon {

/// What of a running gateway does not work, by name: connections, buses and sinks.
std::set<std::string> ailments(const api::Overview& overview);

/// Before the configuration is read at a start: goes back where the daemon was started again and again during a trial,
/// or where the files of the bundle in use do not fit (any more). Errors: throws as load_settings without bundles.
void look_after_bundles(const std::string& config_path, bool must_exist);

/// What bundles need of the daemon. Threads: any.
struct BundleHost {
  std::string gateway_id;
  std::function<std::set<std::string>()> ailments;
  std::function<bool()> clock_is_trusted;
  /// Reads the configuration as it would be with the files of a directory. Errors: throws config::ConfigError.
  std::function<void(const std::string& directory)> check;
  /// Takes over what the store says now, and waits for that. Errors: as the daemon's reload.
  std::function<Result<void>()> reload;
  std::function<std::string()> diagnostics;  ///< A JSON document.
};

/// Fetches configuration, checks it whole, takes it over, and goes back where the gateway is not well with it.
/// Runs from construction to destruction.
class Bundles {
 public:
  Bundles(sync::BundleConfig config, BundleStore store, BundleHost host);

  /// For people. Threads: any.
  struct Status {
    BundleStore::State state;
    std::string last_error;  ///< While nothing can be fetched.
  };
  Status status() const;

 private:
  void run(const std::stop_token& stop);
  /// True when the other side has answered.
  bool look(const std::stop_token& stop);
  /// False for one that has to be looked at again later.
  bool take(const std::string& bytes, const std::stop_token& stop);
  void go_through_trial(const std::stop_token& stop);
  void go_back(const std::string& why);
  void answer_request(const std::stop_token& stop);
  std::string state_text() const;
  void pause(std::chrono::milliseconds time, const std::stop_token& stop) const;
  void publish();
  bool refuse(std::uint64_t serial, const std::string& why);

  const sync::BundleConfig config_;
  const BundleHost host_;
  BundleStore store_;
  const std::unique_ptr<sync::BundleSource> source_;
  std::optional<std::string> later_;    ///< Looked at, and to be looked at again: it is not fetched twice.
  std::optional<std::string> fetched_;  ///< And not looked at yet: one that came during a trial waits for its end.
  mutable std::mutex mutex_;
  Status status_;  ///< Guarded by mutex_.
  std::jthread thread_;
};

}  // namespace wattd::daemon
