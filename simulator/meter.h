#pragma once
#include <memory>
#include <string>
#include <vector>

#include "drivers/modbus/profile.h"
#include "drivers/replay/replay.h"
#include "simulator/random.h"
#include "telemetry/time.h"

namespace wattd::simulator {

/// The registers of one meter.
/// Shape: 65,536 words a table.
struct RegisterImage {
  std::vector<std::uint16_t> input = std::vector<std::uint16_t>(65536);    ///< Function 4.
  std::vector<std::uint16_t> holding = std::vector<std::uint16_t>(65536);  ///< Function 3.

  void set(const drivers::modbus::Register& row, double value);
};

/// A meter with its profile's registers: a three-phase load that follows the day, with energy counted from it,
/// or a recording of which every poll shows the next row.
class Meter {
 public:
  Meter(drivers::modbus::Profile profile, std::uint64_t seed);
  /// Shows the recording's rows; its fields are measurands of the profile.
  /// Errors: throws std::runtime_error for fields the profile has not.
  Meter(drivers::modbus::Profile profile, const drivers::replay::ReplayConfig& recording);

  /// Brings the registers up to date before a read; false when a recording has ended.
  bool before_read(int function, int address, int count, Timestamp now);
  RegisterImage& image() { return image_; }

 private:
  void show_load(Timestamp now);
  bool show_next_row();
  double value_of(const std::string& measurand) const;

  drivers::modbus::Profile profile_;
  RegisterImage image_;
  Random random_;
  std::unique_ptr<drivers::replay::Recording> recording_;
  const drivers::modbus::Register* first_row_ = nullptr;  ///< A read of it begins a poll of the recording.
  std::optional<Timestamp> shown_at_;
  double load_w_ = 0;
  double energy_kwh_ = 12'345.678;
};

}  // namespace wattd::simulator
