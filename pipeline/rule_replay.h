#pragma once
#include <string>
#include <vector>

#include "rules/engine.h"
#include "storage/reader.h"
#include "telemetry/device.h"

namespace wattd::pipeline {

/// When a rule would have fired.
struct ReplayedAlert {
  Alert alert;        ///< As it was last; `created_at` and `resolved_at` are those of the readings.
  bool told = false;  ///< Somebody would have been told of its raising: the cooldown did not hold it back.
};

struct RuleReplay {
  std::vector<ReplayedAlert> alerts;  ///< In order of time; at most `kMost`.
  std::size_t raised = 0;             ///< All of them.
  std::size_t told = 0;
  std::uint64_t readings = 0;
  Timestamp until{};  ///< How far it came within its time.

  static constexpr std::size_t kMost = 1000;
};

/// Leads what is stored of a range through one rule; nothing is written and nobody told.
/// Errors: as of the reader. It ends early, and says where, when it has taken `budget`.
Result<RuleReplay> replay_rule(storage::Reader& reader, const std::vector<Device>& devices, Rule rule,
                               const rules::Options& options, rules::Engine::FactsOf facts_of, TimeRange range,
                               std::chrono::milliseconds budget);

}  // namespace wattd::pipeline
