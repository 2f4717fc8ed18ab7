#pragma once
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "config/table.h"
#include "rules/interval.h"
#include "rules/window.h"
#include "telemetry/calendar.h"
#include "telemetry/delivery.h"
#include "telemetry/device.h"
#include "telemetry/error.h"
#include "telemetry/meter_tree.h"
#include "telemetry/reading.h"
#include "telemetry/rule.h"
#include "telemetry/schema.h"

namespace wattd::rules {

/// The origin of rules that the program brings itself.
inline constexpr std::string_view kBuiltIn = "built in";

/// Reads one [[rules]] table. The rule's id is made of its name, so it keeps it across restarts.
/// Errors: throws config::ConfigError.
Rule parse_rule(const config::Table& table);

/// What holds for all rules.
struct Options {
  std::chrono::microseconds late{std::chrono::minutes{15}};  ///< What is older than this tells nobody.
  std::size_t most_per_device = 100;
  std::size_t flaps = 4;  ///< So often within `flap_time`, and an alert stands until it has been quiet; 0: never.
  std::chrono::microseconds flap_time{std::chrono::minutes{10}};
  std::chrono::microseconds no_data{std::chrono::minutes{10}};  ///< Of the built-in rule; 0: none.
  std::vector<std::string> channels;                            ///< Who is told of the gateway's own alerts.
  bool operator==(const Options&) const = default;
};

/// Whether a rule is about a device; `record` is what is known of it, if anything.
bool concerns(const Rule& rule, const std::string& device_id, const wattd::Device* record);

/// Whether no device has more rules than it may; what a rule for all devices, a building or a type counts for each.
/// Errors: permanent, with the device.
Result<void> check_limits(const std::vector<Rule>& rules, const Options& options);

/// Reads [alerts]. Errors: throws config::ConfigError.
Options parse_options(const config::Table& table);

/// Now, by both clocks: stamps are compared with the one, silences and pauses with the other.
struct Moment {
  Timestamp now;
  Instant mono;
};

/// What judging a reading led to.
struct Verdict {
  std::vector<Alert> changed;  ///< New or changed alerts, as they are now.
  std::vector<Announcement> notices;
  std::size_t raised = 0;  ///< Alerts among the changed that are new.
  bool urgent = false;     ///< Somebody is to be told of trouble: worth a commit of its own. That it is over can wait.
};

/// A value as rules judge it: true is 1 and false is 0. Errors: nullopt for a text.
inline std::optional<double> judged_as(const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? 1 : 0;
  return as_number(value);
}

/// What was read before, so that windows are full from the start. Threads: the engine's.
class History {
 public:
  virtual ~History() = default;
  /// Readings with these fields, in order of time.
  virtual void visit(const std::string& device, const std::vector<std::string>& fields, TimeRange range,
                     const std::function<void(const Reading&)>& take) = 0;
  /// The fields that stand for a property: of that name, or of that measurand.
  virtual std::vector<std::string> fields_of(const std::string& device, const std::string& property) = 0;
  /// When a device said something last, or something of a property.
  virtual std::optional<Timestamp> last_seen(const std::string& device, const std::string& property) = 0;
};

/// Judges readings by rules. A reading touches only the conditions that name its fields; windows are shared by all that
/// look at a series, and updated. One alert stands for as long as a rule is met on a device: further readings raise its
/// count, and the first that does not meet it resolves it. The cooldown holds back notices, never the evaluation.
/// Threads: one. Time is an argument throughout.
class Engine {
 public:
  using FactsOf = std::function<std::optional<SeriesFacts>(std::string_view device, std::string_view field)>;

  explicit Engine(Options options = {}, Calendar calendar = Calendar(), FactsOf facts_of = {});
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  void set_options(Options options) { options_ = std::move(options); }
  /// What there is of devices, their types, buildings and meter tree. Alerts of rules that hold for a device no more
  /// come back resolved.
  std::vector<Alert> set_devices(std::vector<wattd::Device> devices, Moment moment);
  /// The same of one that is new or has changed.
  std::vector<Alert> set_device(const wattd::Device& device, Moment moment);
  /// Replaces the rules; the state of those that judge as before is kept. Alerts that no rule stands behind any more
  /// come back resolved.
  std::vector<Alert> set_rules(std::vector<Rule> rules, Moment moment);
  /// Takes up where each rule and device stood when the gateway stopped: the latest alert of each. Those without a rule
  /// come back resolved.
  std::vector<Alert> restore(const std::vector<Alert>& latest, Moment moment);
  /// Fills what is new from what was read before; raises nothing.
  void recall(History& history, Moment moment);
  /// Whether a sum is made of other meters than before, so that it is worth to recall().
  bool wants_recall() const { return wants_recall_; }
  /// What is to be told of alerts that came back resolved since the last call.
  std::vector<Announcement> take_notices() { return std::exchange(orphan_notices_, {}); }
  void set_silences(std::vector<Silence> silences) { silences_ = std::move(silences); }

  /// The latest of an alert that stands; null for any other.
  const Alert* find(const std::string& alert_id) const;
  /// The channels that were told of an alert, by its rule as it is now.
  std::vector<std::string> told_of(const Alert& alert) const;
  /// Takes over a change that a person made to an alert that stands.
  void replace(const Alert& alert);

  /// Judges one reading. A rule's property names a field, or the measurand that is known of one.
  void judge(const Reading& reading, Moment moment, Verdict& verdict);
  /// What time alone brings: silences of meters, the end of hours, intervals and maintenance, escalation.
  void tick(Moment moment, Verdict& verdict);

  const std::vector<Rule>& rules() const { return rules_; }
  /// Alerts that stand and are not resolved.
  std::size_t active(Severity severity) const { return active_[static_cast<std::size_t>(severity)]; }
  /// The channels of rules with such an alert that is not silenced, each once.
  std::vector<std::string> standing_channels() const;
  std::uint64_t evaluations() const { return evaluations_; }

 private:
  struct Instance;
  struct Watch;
  struct Feed;
  struct Plan;
  struct Watched;
  struct Silent;
  struct Wanted;
  using Key = std::pair<std::string, std::string>;  ///< Rule and device.

  // engine.cpp: which rule looks at what.
  Watched& device(const std::string& id);
  bool applies_to(const Rule& rule, const std::string& device_id) const;
  void attach(Watched& device, const std::string& id, Moment moment);
  void attach(Watched& device, const std::string& id, std::size_t rule, Moment moment);
  void attach_totals();
  bool may_be_missed(const Watch& watch, const std::string& device_id) const;
  void count_on(Instance& instance, std::size_t condition, const std::vector<MeterTerm>& meters);
  Instance& instance(std::size_t rule, const std::string& device_id);
  void watch(Watched& device, const std::string& property, Watch watch);
  void rebuild(Moment moment, std::map<Key, std::unique_ptr<Instance>> kept);
  const Plan& plan_of(Watched& device, const Reading& reading);
  std::vector<Alert> resolve_orphans(std::map<Key, std::unique_ptr<Instance>> kept, Moment moment);

  // recall.cpp: what was before.
  std::chrono::microseconds memory_of(const Watch& watch, const Feed& feed) const;
  Wanted wanted_of(const Watched& watched, const std::string& id, History& history) const;
  void recall_words(Watched& watched, const std::string& id, History& history, Moment moment) const;
  void expect_words(const Watched& watched, const std::string& id, Moment moment);
  void recall(Watched& watched, const Reading& stored, Moment moment);
  void recall_joined(const std::map<std::string, Wanted>& joined, History& history, Moment moment);
  void follow_clock(Moment moment);

  // conditions.cpp: what a sample says.
  struct Arrival;
  void feed(Feed& feed, double value, const Arrival& arrival);
  void look(const Watch& watch, Feed& feed, double value, const Arrival& arrival);
  void conclude(Instance& instance, std::size_t which, std::optional<double> actual, const Arrival& arrival);
  bool is_met(const Instance& instance, Instant mono) const;
  bool is_judged_at(const Rule& rule, Timestamp at) const;
  void note_silences(Moment moment, Verdict& verdict);

  // episodes.cpp: what an alert goes through.
  void settle(Instance& instance, const Arrival& arrival, Verdict& verdict);
  void raise(Instance& instance, const Arrival& arrival, Verdict& verdict);
  void count(Instance& instance, const Arrival& arrival, Verdict& verdict);
  void note_past(Instance& instance, double actual, const Arrival& arrival, Verdict& verdict);
  void end(Instance& instance, Moment moment, Verdict& verdict);
  void resolve(Instance& instance, Moment moment, Verdict& verdict);
  void tell_if_due(Instance& instance, Moment moment, Verdict& verdict);
  static void tell(const Instance& instance, const char* event, const std::vector<std::string>& channels,
                   Verdict& verdict);
  void look_after(Instance& instance, Moment moment, Verdict& verdict);
  bool is_silenced(const Rule& rule, const std::string& device_id, Timestamp at) const;
  void save(Instance& instance, Moment moment, Verdict& verdict);
  void count_active();
  static std::size_t telling(const Instance& instance);
  static Alert alert_of(const Instance& instance, std::size_t which, double actual, const Arrival& arrival);
  static std::string message_of(const Instance& instance, std::size_t which, double actual);

  Options options_;
  Calendar calendar_;
  FactsOf facts_of_;
  std::vector<wattd::Device> known_;
  std::unordered_map<std::string, std::size_t> known_index_;
  std::vector<Rule> rules_;
  std::vector<std::size_t> general_;                                     ///< Rules that name no devices,
  std::unordered_map<std::string, std::vector<std::size_t>> of_device_;  ///< and those that name them.
  std::vector<Silence> silences_;
  std::unordered_map<std::string, std::unique_ptr<Watched>> devices_;
  std::map<Key, std::unique_ptr<Instance>> instances_;
  std::vector<Instance*> standing_;  ///< With an episode that stands.
  std::vector<Instance*> muted_;     ///< Met by silence, and without an episode yet.
  std::vector<Instance*> touched_;   ///< By the reading at hand.
  std::unique_ptr<std::priority_queue<Silent>> silent_;
  std::vector<Announcement> orphan_notices_;
  Instant ticked_{};
  std::optional<std::chrono::nanoseconds> offset_;  ///< Of the wall clock from the other.
  std::array<std::size_t, 4> active_{};
  std::uint64_t evaluations_ = 0;
  bool wants_recall_ = false;
};

}  // namespace wattd::rules
