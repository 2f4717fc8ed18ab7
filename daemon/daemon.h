#pragma once
#include <array>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "api/gateway.h"
#include "api/routes.h"
#include "api/server.h"
#include "daemon/bundles.h"
#include "daemon/notices.h"
#include "daemon/own_alerts.h"
#include "daemon/settings.h"
#include "daemon/sources.h"
#include "daemon/uplinks.h"
#include "pipeline/pipeline.h"
#include "pipeline/registry.h"
#include "storage/directory_lock.h"
#include "storage/store.h"
#include "telemetry/gateway_clock.h"

namespace wattd::daemon {

/// The object graph of a running gateway. It runs from construction to destruction, which drains the intake,
/// commits and acknowledges.
/// Threads: main's; overview(), on_committed(), tell() and take() any.
class Daemon final : public api::Gateway, public pipeline::Listener, public pipeline::Outlet, public pipeline::Tally {
 public:
  /// Errors: throws whatever keeps the gateway from starting.
  explicit Daemon(Settings settings);
  ~Daemon() override;

  /// Takes over a new configuration: devices, schemas, rules, sources and sinks at once; where data lies and where
  /// the API listens only at the next start, which is said. Errors: throws; the old configuration stays then.
  void reload(Settings settings);
  /// A reload begins, and is over; why it failed, if it did.
  void note_reload_begun();
  void note_reload(const std::string& problem);
  /// Asks for one, and waits for it. Threads: any but main's. Errors: permanent, why it failed; retry when it takes
  /// long.
  Result<void> ask_for_reload();
  /// Begins to fetch bundles where the configuration says from where; a change of that waits for the next start.
  void start_bundles(bool must_exist);
  /// Looks whether the clock can be trusted and was stepped; once a second.
  void watch_clock() { clock_.watch(); }
  /// Lets the built-in rules judge how the gateway is doing; every ten seconds, however often it is called.
  void watch_itself();
  /// One line for systemctl status.
  std::string status_line() const;
  /// Whether the pipeline has gone round its loop lately.
  bool makes_progress(std::chrono::nanoseconds within) const { return pipeline_.progress().silence() < within; }

  api::Overview overview() const override;
  Result<std::vector<std::uint16_t>> ask_meter(const std::string& bus, const drivers::modbus::ReadRequest& request,
                                               std::chrono::milliseconds timeout) const override;
  Result<api::BusTrace> trace_bus(const std::string& bus, std::uint64_t after) const override;
  Result<std::vector<std::string>> check_channels(const Rule& rule) const override;
  Result<std::string> test_channel(const std::string& channel, const std::string& recipient) const override;
  Result<void> pause_sink(const std::string& sink, bool paused) const override;
  Result<void> start_job(const std::string& sink, const sync::JobRequest& request) const override;
  Result<void> cancel_job(const std::string& sink) const override;
  void on_committed(const std::shared_ptr<const pipeline::Committed>& group) noexcept override;
  void tell(const drivers::mqtt::Command& command) noexcept override;
  std::vector<Reading> take() noexcept override;

 private:
  void apply(Settings settings);
  void start_links();
  /// Lets go of sources, sinks and channels, in that order.
  void end_links();
  void recall_pulses();
  std::array<std::int64_t, 4> active_alerts() const;

  const ThisMachine machine_;
  GatewayClock clock_{machine_};
  const Timestamp started_at_;
  const storage::DirectoryLock directory_lock_;
  const std::string gateway_id_;
  storage::Store store_;
  pipeline::Registry registry_;
  mutable std::mutex mutex_;
  Settings settings_;  ///< Guarded by mutex_, as are the links.
  SelfWatch self_;     ///< Main's thread alone, as is the next.
  Instant look_at_{};
  pipeline::Pipeline pipeline_;
  api::Routes routes_;
  api::Server server_;
  std::jthread pipeline_thread_;
  const std::shared_ptr<drivers::gpio::Totals> pulses_ = std::make_shared<drivers::gpio::Totals>();
  std::unique_ptr<Uplinks> uplinks_;
  std::shared_ptr<Notices> notices_;
  std::unique_ptr<Sources> sources_;
  std::mutex reload_mutex_;
  std::condition_variable reloaded_;
  std::uint64_t begun_ = 0, reloads_ = 0;  ///< That have begun, and are over. Guarded by reload_mutex_, as is the next.
  std::string reload_problem_;
  bool is_ending_ = false;
  std::unique_ptr<Bundles> bundles_;
  std::atomic<const Bundles*> bundles_in_use_ = nullptr;  ///< The same, once they are there.
  std::vector<std::jthread> replays_;                     ///< Played once; a reload does not begin them anew.
};

}  // namespace wattd::daemon
