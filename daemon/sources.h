#pragma once
#include <memory>
#include <thread>
#include <vector>

#include "api/gateway.h"
#include "daemon/settings.h"
#include "drivers/intake.h"

namespace wattd::daemon {

/// Everything that brings readings in, one thread each, running from construction to destruction.
class Sources {
 public:
  /// Errors: throws when a client cannot even be set up (TLS files, client ids).
  Sources(const Settings& settings, const std::string& gateway_id, drivers::Intake& intake, const Clock& clock);
  /// Stops all threads. What they had handed over is committed and acknowledged first, if the pipeline still runs.
  ~Sources();

  std::vector<api::ConnectionStatus> connections() const;
  std::vector<api::BusStatus> buses() const;
  /// None when there is no such bus.
  std::shared_ptr<drivers::modbus::Bus> bus(const std::string& id) const;

 private:
  std::vector<std::unique_ptr<drivers::mqtt::Connection>> connections_;
  std::vector<std::shared_ptr<drivers::modbus::Bus>> buses_;
  std::vector<std::jthread> threads_;  ///< Last, so that they end before what they use.
};

/// Plays a recording from its first row, in a thread of its own.
std::jthread start_replay(const drivers::replay::ReplayConfig& config, drivers::Intake& intake, const Clock& clock);

}  // namespace wattd::daemon
