#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "daemon/settings.h"
#include "pipeline/pipeline.h"
#include "sync/job.h"
#include "sync/shipper.h"
#include "sync/status.h"

namespace wattd::daemon {

/// The shippers of all sinks, their jobs, and what Home Assistant is told, one thread each, running from construction
/// to destruction.
class Uplinks {
 public:
  Uplinks(const Settings& settings, const std::string& gateway_id, const std::vector<storage::Cursor>& cursors,
          const storage::Store& store, pipeline::Pipeline& pipeline, const Clock& clock);
  ~Uplinks();

  void wake();
  void offer(const std::shared_ptr<const pipeline::Committed>& group);
  std::vector<sync::SinkStatus> status() const;
  /// Errors of both: permanent for a sink that is not there. start() also: retry while another job of it runs.
  Result<void> pause(const std::string& sink, bool paused);
  Result<void> start(const std::string& sink, const sync::JobRequest& request);
  /// Breaks off what a sink does beside its ordinary work.
  Result<void> cancel(const std::string& sink);

 private:
  class PipelineLedger;

  /// One stream of a sink, and with the first of them what a person asked of the sink last.
  struct Uplink {
    sync::SinkConfig sink;
    std::shared_ptr<sync::Budget> budget;
    std::unique_ptr<sync::Shipper> shipper;
    std::unique_ptr<sync::Job> job = {};
    std::jthread job_thread = {};
  };
  Uplink* find(const std::string& sink);

  const storage::Store& store_;
  const std::string gateway_id_;
  const Clock& clock_;
  std::unique_ptr<PipelineLedger> ledger_;
  mutable std::mutex mutex_;     ///< Of the jobs.
  std::vector<Uplink> uplinks_;  ///< Their number and shippers stay.
  struct Home;
  void add_home(const sync::HomeAssistantConfig& config, const std::string& gateway_id, const Settings& settings,
                const pipeline::Registry& registry, const Clock& clock);

  std::vector<std::unique_ptr<Home>> homes_;
  std::vector<std::jthread> threads_;  ///< Last, so that they end before what they use.
};

}  // namespace wattd::daemon
