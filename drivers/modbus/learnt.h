#pragma once
#include <string>
#include <vector>

#include "drivers/modbus/plan.h"
#include "telemetry/error.h"
#include "telemetry/time.h"

namespace wattd::drivers::modbus {

/// What a meter was found to refuse, as it is kept over restarts. Format: docs/formats/learnt.md.
struct LearntLine {
  int unit = 1;
  std::string profile;
  Timestamp since{};  ///< When it was learnt: it holds for a day.
  bool is_strict = false;
  int max_registers = 0;
  std::vector<Hole> holes;
  bool operator==(const LearntLine&) const = default;
};

/// Reads the file of a bus; nothing where there is none, or where it is not one of ours: a meter teaches it again.
std::vector<LearntLine> load_learnt(const std::string& path);
std::vector<LearntLine> parse_learnt(const std::string& text);
/// Replaces the file; a crash leaves the old one. Errors: permanent, with the reason.
Result<void> save_learnt(const std::string& path, const std::vector<LearntLine>& lines);

}  // namespace wattd::drivers::modbus
