#pragma once
#include <array>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/gateway.h"
#include "daemon/settings.h"
#include "drivers/gpio/gpio.h"
#include "drivers/intake.h"
#include "drivers/modbus/trace.h"
#include "drivers/mqtt/writer.h"

namespace wattd::daemon {

/// Everything that brings readings in, one thread each, running from construction to destruction.
class Sources {
 public:
  /// Errors: throws when a client cannot even be set up (TLS files, client ids).
  Sources(const Settings& settings, const std::string& gateway_id, const std::shared_ptr<drivers::gpio::Totals>& totals,
          drivers::Intake& intake, const Clock& clock);
  /// Stops all threads. What they had handed over is committed and acknowledged first, if the pipeline still runs.
  ~Sources();

  std::vector<api::ConnectionStatus> connections() const;
  std::vector<api::BusStatus> buses() const;
  std::vector<api::ChipStatus> chips() const;
  /// What has been counted and is in no commit yet.
  std::vector<Reading> take_totals();
  /// Relays follow the alerts that stand, by severity.
  void drive_relays(const std::array<std::int64_t, 4>& alerts, const std::vector<std::string>& channels);
  /// Says something to a publisher, if the connection by which it was heard is one that writes.
  void tell(const drivers::mqtt::Command& command);
  /// None when there is no such bus.
  std::shared_ptr<drivers::modbus::Bus> bus(const std::string& id) const;
  std::shared_ptr<drivers::modbus::Trace> trace(const std::string& bus) const;

 private:
  std::vector<std::unique_ptr<drivers::mqtt::Connection>> connections_;
  std::map<std::string, std::unique_ptr<drivers::mqtt::Writer>> writers_;  ///< By connection.
  std::vector<std::shared_ptr<drivers::modbus::Bus>> buses_;
  std::vector<std::unique_ptr<drivers::gpio::Gpio>> chips_;
  std::map<std::string, std::shared_ptr<drivers::modbus::Trace>> traces_;  ///< By bus.
  std::vector<std::jthread> threads_;  ///< Last, so that they end before what they use.
};

/// Plays a recording from its first row, in a thread of its own.
std::jthread start_replay(const drivers::replay::ReplayConfig& config, drivers::Intake& intake, const Clock& clock);

}  // namespace wattd::daemon
