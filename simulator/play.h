#pragma once
#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "drivers/replay/replay.h"
#include "simulator/bulb.h"
#include "simulator/publisher.h"

namespace wattd::simulator {

/// A fault at a set time after the start.
struct ScriptedFault {
  double at_seconds = 0;
  Fault fault = Fault::overheat;
  std::string device_id;  ///< Empty: all.
  bool done = false;
};

/// Bulbs that publish on `devices/ID/telemetry`.
struct BulbPlay {
  Publisher::Broker broker;
  int devices = 1;
  std::string prefix = "D";
  double interval_s = 5;    ///< 0: as fast as the broker takes them.
  std::uint64_t count = 0;  ///< Messages a device; 0: without end.
  std::uint64_t seed = 1;
  std::optional<Timestamp> start;  ///< Stamps count from here by the interval; left out, they are those of the clock.
  int qos = 1;
  FaultOdds odds;
  std::vector<ScriptedFault> script;
};

/// A recording published row by row.
struct RecordingPlay {
  Publisher::Broker broker;
  drivers::replay::ReplayConfig recording;
  double step_s = 1;  ///< Between two stamps; the last one is now.
  std::uint64_t limit = 0;
};

/// Both return the number of messages that the broker has taken. Errors: throw std::runtime_error.
std::uint64_t play_bulbs(BulbPlay play, const std::atomic<bool>& stop);
std::uint64_t play_recording(const RecordingPlay& play, const std::atomic<bool>& stop);

}  // namespace wattd::simulator
