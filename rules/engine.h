#pragma once
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/table.h"
#include "telemetry/reading.h"
#include "telemetry/rule.h"
#include "telemetry/schema.h"

namespace wattd::rules {

/// Reads one [[rules]] table. The rule's id is made of its name, so it keeps it across restarts.
/// Errors: throws config::ConfigError.
Rule parse_rule(const config::Table& table);

/// A message that somebody should get about an alert.
struct Notice {
  std::string alert_id;
  std::string channel;
  std::string event;  ///< raised or resolved.
};

/// What judging a reading led to.
struct Verdict {
  std::vector<Alert> changed;  ///< New or changed alerts, as they are now.
  std::vector<Notice> notices;
  bool urgent = false;  ///< An alert was raised or resolved: worth a commit of its own.
};

/// Judges readings by threshold rules. One alert stands for as long as a condition holds on a device: further
/// readings raise its count, and the first that does not meet the condition resolves it. The cooldown holds
/// back notices, never the evaluation.
/// Threads: one. Time is an argument throughout.
class Engine {
 public:
  /// Replaces the rules; the state of those that stay is kept. Alerts whose rule no longer holds for their device
  /// come back resolved.
  std::vector<Alert> set_rules(std::vector<Rule> rules, Timestamp now);
  /// Takes up alerts that were active when the gateway stopped; those without a rule come back resolved.
  std::vector<Alert> restore(const std::vector<Alert>& active, Timestamp now);
  /// The latest of an alert that stands; null for any other.
  const Alert* find(const std::string& alert_id) const;
  /// Takes over a change that a person made to an active alert.
  void replace(const Alert& alert);

  /// Judges one reading. A rule's property names a field, or the measurand that the schema gives a field.
  /// A reading older than the last one judged for the device changes nothing.
  void judge(const Reading& reading, const Schema* schema, Timestamp now, Verdict& verdict);

  const std::vector<Rule>& rules() const { return rules_; }
  std::size_t active(Severity severity) const;
  std::uint64_t evaluations() const { return evaluations_; }

 private:
  struct State {
    Alert alert;
    bool active = false;
    Timestamp saved_at{};  ///< When the alert was last among the changed.
    Timestamp last_notice{};
    bool noticed = false;  ///< This episode's raising was told to somebody.
  };
  struct Device {
    std::vector<std::size_t> rules;  ///< Indices of those whose scope holds the device.
    Timestamp newest{};
  };

  Device& device(const std::string& id);
  /// Resolves what no active rule stands behind any more.
  std::vector<Alert> resolve_orphans(Timestamp now);
  void raise(const Rule& rule, const Reading& reading, double actual, Timestamp now, State& state, Verdict& verdict);
  void resolve(const Rule& rule, Timestamp now, State& state, Verdict& verdict);

  std::vector<Rule> rules_;
  std::unordered_map<std::string, Device> devices_;
  std::map<std::pair<std::string, std::string>, State> states_;  ///< By rule and device.
  std::uint64_t evaluations_ = 0;
};

}  // namespace wattd::rules
