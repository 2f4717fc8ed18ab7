#pragma once
// The engine's own state: what stands for a rule on a device, and which fields it looks at.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rules/engine.h"

namespace wattd::rules {

/// An alert for as long as its rule is met.
struct Episode {
  Alert alert;
  Timestamp since{};                   ///< When it was raised, on the clock as it goes now.
  Timestamp saved_at{};                ///< When the alert was last among the changed.
  Timestamp first_at{};                ///< Of the first reading of it.
  std::vector<std::string> told;       ///< Channels.
  bool is_noticed = false;             ///< Its raising was told to somebody.
  std::optional<Instant> quiet_since;  ///< Not met since, while it comes and goes too often.
};

/// What a deviation compares.
struct Pair {
  double compared = 0, expected = 0;
  std::optional<Timestamp> compared_at, expected_at;
};

/// One condition of a rule on a device, as it is.
struct ConditionState {
  bool is_met = false;
  double actual = 0;
  std::optional<Timestamp> at;         ///< Of the reading that said so last.
  Instant fresh{};                     ///< When it came.
  std::unique_ptr<Pair> pair;          ///< Of a deviation.
  std::unique_ptr<Interval> interval;  ///< Of energy and demand.
};

/// What is remembered of a rule on a device where there ever was trouble.
struct Troubles {
  std::optional<Timestamp> noticed_at;  ///< When somebody was told last.
  std::vector<Instant> raises;          ///< The last ones.
  std::vector<TimeRange> episodes;  ///< When the last ones were, by the readings' stamps: what comes again is not news.
  std::unique_ptr<Episode> past;    ///< Of readings that came after later ones.
  std::optional<double> past_value;  ///< What such a reading, now at hand, says.
};

/// A rule on one of the devices in its scope, or on a building as a whole.
struct Engine::Instance {
  const Rule* rule = nullptr;
  std::string device_id;
  std::vector<ConditionState> conditions;
  std::optional<Timestamp> met_since;
  std::unique_ptr<Episode> episode;
  std::unique_ptr<Troubles> troubles;  ///< None of most.
  /// Whether one of its conditions is met by silence.
  bool is_muted() const {
    for (std::size_t i = 0; i < conditions.size(); ++i) {
      if (rule->conditions[i].kind == ConditionKind::no_data && conditions[i].is_met) return true;
    }
    return false;
  }
  Troubles& own_troubles() {
    if (!troubles) troubles = std::make_unique<Troubles>();
    return *troubles;
  }
  bool is_touched = false;
  bool is_new = true;  ///< Nothing has been recalled for it yet.
};

/// Where a sample is wanted: a condition, and for what.
struct Engine::Watch {
  Instance* instance = nullptr;
  std::uint16_t condition = 0;
  std::uint16_t part = 0;     ///< Of an interval.
  bool is_reference = false;  ///< It says what is expected.
};

/// One property of a device that rules look at.
struct Engine::Feed {
  std::string property;
  std::optional<Timestamp> newest;
  std::optional<Window> window;
  bool is_window_new = true;
  bool is_new = true;  ///< Nobody has looked yet when it was said last.
  Instant arrived{};   ///< When a reading last had it that was not late.
  std::vector<Watch> watches;
};

/// Which fields of a reading belong to which feed, for one sequence of fields.
struct Engine::Plan {
  std::vector<std::string> fields;
  struct Entry {
    std::uint32_t field;
    std::uint32_t feed;
  };
  std::vector<Entry> entries;
};

/// A device that some rule looks at.
struct Engine::Watched {
  std::vector<Feed> feeds;
  std::vector<Plan> plans;  ///< Devices say the same fields in the same order; some have a few such orders.
  std::size_t last_plan = 0;
  Instant arrived{};
  std::vector<Watch> any;  ///< No-data conditions that any reading ends.
  bool is_attached = false;
};

/// When a silence may be long enough; whoever has spoken since is looked at again later.
struct Engine::Silent {
  Instant due;
  std::string device_id;
  Watch watch;
  bool operator<(const Silent& other) const { return due > other.due; }
};

/// A reading on its way through the conditions.
struct Engine::Arrival {
  Timestamp at;
  Moment moment;
  bool is_late = false;
  bool is_recalled = false;  ///< From storage: conditions learn from it, alerts do not.
  enum class Order { newest, again, past } order = Order::newest;
};

}  // namespace wattd::rules
