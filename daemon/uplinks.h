#pragma once
#include <memory>
#include <thread>
#include <vector>

#include "daemon/settings.h"
#include "pipeline/pipeline.h"
#include "sync/shipper.h"

namespace wattd::daemon {

/// The shippers of all sinks and what Home Assistant is told, one thread each, running from construction to
/// destruction.
class Uplinks {
 public:
  Uplinks(const Settings& settings, const std::string& gateway_id, const std::vector<storage::Cursor>& cursors,
          const storage::Store& store, pipeline::Pipeline& pipeline, const Clock& clock);
  ~Uplinks();

  void wake();
  void offer(const std::shared_ptr<const pipeline::Committed>& group);
  std::vector<sync::ShipperStatus> status() const;

 private:
  class PipelineLedger;

  std::unique_ptr<PipelineLedger> ledger_;
  std::vector<std::unique_ptr<sync::Shipper>> shippers_;
  struct Home;
  void add_home(const sync::HomeAssistantConfig& config, const std::string& gateway_id, const Settings& settings,
                const pipeline::Registry& registry, const Clock& clock);

  std::vector<std::unique_ptr<Home>> homes_;
  std::vector<std::jthread> threads_;  ///< Last, so that they end before what they use.
};

}  // namespace wattd::daemon
