#pragma once
#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "config/table.h"
#include "drivers/intake.h"
#include "telemetry/clock.h"
#include "telemetry/csv.h"

namespace wattd::drivers::replay {

/// A recording to be played as if it happened now.
struct ReplayConfig {
  std::string file;  ///< CSV with a header, plain or gzip.
  std::string device_id;
  std::string time_column = "timestamp";
  std::map<std::string, std::string> columns;  ///< CSV column to field; empty keeps every column's name.
  double speed = 1;                            ///< Recorded seconds a second; 0 is as fast as possible.
  bool shift = true;                           ///< Stamps are moved so that the first row is now.
  bool operator==(const ReplayConfig&) const = default;
};

/// Reads one [[replay]] table. Errors: throws config::ConfigError.
ReplayConfig parse_replay(const config::Table& table);

/// The rows of a recording, one Reading each, empty cells left out.
/// Errors: throws std::runtime_error that names file, line and column.
class Recording {
 public:
  explicit Recording(const ReplayConfig& config);
  /// The next row under its recorded stamp (taken as UTC when it names no zone).
  bool next(Reading& reading);

 private:
  const ReplayConfig config_;
  TextLines lines_;
  std::vector<std::string> fields_;  ///< By column; empty: not wanted.
  std::size_t time_index_ = 0;
};

/// Plays the recording into the intake until it ends or it is told to stop.
void play(const ReplayConfig& config, Intake& intake, const Clock& clock, const std::stop_token& stop);

}  // namespace wattd::drivers::replay
