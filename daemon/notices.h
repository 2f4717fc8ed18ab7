#pragma once
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "daemon/settings.h"
#include "notify/notifier.h"
#include "pipeline/pipeline.h"

namespace wattd::daemon {

/// The channels over which people are told of alerts, one thread each, running from construction to destruction.
class Notices {
 public:
  Notices(const Settings& settings, const std::string& gateway_id, pipeline::Pipeline& pipeline, const Clock& clock);
  ~Notices();

  /// Takes up what is to be told still; on the pipeline's thread, so that nothing is missed or taken twice.
  void begin(pipeline::Pipeline& pipeline);
  void tell(const pipeline::Committed& group) { notifier_.tell(group.announcements, group.alerts); }
  Result<std::string> test(const std::string& channel, const std::string& recipient) {
    return notifier_.test(channel, recipient);
  }
  std::vector<notify::ChannelStatus> status() const { return notifier_.status(); }

 private:
  class PipelineDesk;

  std::unique_ptr<PipelineDesk> desk_;
  notify::Notifier notifier_;
  std::vector<std::jthread> threads_;  ///< Last, so that they end before what they use.
};

}  // namespace wattd::daemon
