#pragma once
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "config/table.h"
#include "drivers/gpio/debounce.h"
#include "drivers/gpio/lines.h"
#include "drivers/intake.h"
#include "telemetry/clock.h"
#include "telemetry/reading.h"
#include "telemetry/rule.h"

namespace wattd::drivers::gpio {

/// A pulse output of a meter (S0). Source: DIN 43864, IEC 62053-31.
struct PulseConfig {
  std::string device;
  LineConfig line;
  std::chrono::milliseconds debounce{20};
  std::string measurand = "energy_import_total";  ///< What it counts.
  double per_unit = 1000;                         ///< Pulses of one kWh, or of whatever it counts.
  double factor = 1;                              ///< Of a current transformer before the meter.
  double start = 0;                               ///< What the meter's display showed before the first pulse.
  bool operator==(const PulseConfig&) const = default;
};

/// A contact whose state is a field.
struct InputConfig {
  std::string device;
  std::string field = "state";
  LineConfig line;
  std::chrono::milliseconds debounce{20};
  bool operator==(const InputConfig&) const = default;
};

/// A relay that is on while an alert stands.
struct OutputConfig {
  std::string id;
  LineConfig line;
  Severity severity = Severity::critical;  ///< Of alerts, at least; or
  std::string channel;                     ///< of rules that name this channel.
  bool operator==(const OutputConfig&) const = default;
};

/// One chip with its lines.
struct ChipConfig {
  std::string chip;
  std::chrono::seconds period{60};  ///< How often a counter is told of that stands still.
  std::vector<PulseConfig> pulses;
  std::vector<InputConfig> inputs;
  std::vector<OutputConfig> outputs;
  bool operator==(const ChipConfig&) const = default;
};

/// Reads one [[gpio]] table. Errors: throws config::ConfigError.
ChipConfig parse_chip(const config::Table& table);

/// How many pulses each device has given, over restarts and reloads. Threads: any.
class Totals {
 public:
  /// Where a device stood when it was last stored.
  void begin(const std::string& device, std::int64_t pulses);
  bool knows(const std::string& device) const;
  void count(const std::string& device);
  std::int64_t of(const std::string& device) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::int64_t> pulses_;  ///< Guarded by mutex_.
};

/// Counts pulses and watches contacts of one chip. A pulse is counted when it has lasted as long as its debounce time;
/// totals are given to every commit, so that a power cut loses the pulses since the last one and no more.
/// Threads: run() and step() one; take() the pipeline's; drive() any.
class Gpio {
 public:
  Gpio(ChipConfig config, std::unique_ptr<Lines> lines, std::shared_ptr<Totals> totals, Intake& intake,
       const Clock& clock);

  void run(const std::stop_token& stop);
  /// Waits for edges until about `until`, and takes note of them. Errors: as of Lines.
  Result<void> step(Instant until);

  /// A reading of each counter that has counted since it was last taken, or has not been told of for a period.
  std::vector<Reading> take();
  /// How many alerts stand, by severity, and which channels their rules name: relays follow.
  void drive(const std::array<std::int64_t, 4>& alerts, const std::vector<std::string>& channels);

  const ChipConfig& config() const { return config_; }
  std::string last_error() const;

 private:
  struct Pulse {
    Debounce contact{false, {}};
    Instant watched_since{};    ///< When the chip was opened.
    Instant last{};             ///< When the last pulse began.
    Instant::duration apart{};  ///< Between the last two; 0 before there were two.
    std::int64_t told = -1;     ///< Pulses in the last reading.
    Instant told_at{};
  };

  Result<void> open();
  void settle(Instant now);
  void settle_line(std::size_t line, Instant now);
  void note_pulse(std::size_t which, Instant at);
  void tell_input(std::size_t which);
  Result<void> look_again(const std::vector<Edge>& edges);
  Instant next_settling(Instant otherwise) const;
  bool is_to_be_told(Instant now);
  Reading reading_of(const PulseConfig& config, const Pulse& pulse, std::int64_t pulses, Instant now) const;
  std::size_t output_line(std::size_t which) const { return config_.pulses.size() + config_.inputs.size() + which; }
  void set_error(std::string message);

  const ChipConfig config_;
  const std::unique_ptr<Lines> lines_;
  const std::shared_ptr<Totals> totals_;
  Intake& intake_;
  const Clock& clock_;
  std::atomic<bool> is_open_{false};
  Instant expected_at_{};  ///< When the pipeline was last asked to come by.
  std::vector<Debounce> inputs_;
  std::set<std::size_t> doubtful_;  ///< Lines of which edges may have been dropped.
  mutable std::mutex mutex_;
  std::vector<Pulse> pulses_;  ///< Guarded by mutex_.
  std::vector<bool> wanted_;   ///< Of outputs. Guarded by mutex_.
  std::string error_;          ///< Guarded by mutex_.
};

/// The lines of a chip as they are asked for: pulses, inputs, outputs.
std::vector<LineConfig> lines_of(const ChipConfig& config);

}  // namespace wattd::drivers::gpio
