#pragma once
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "rules/engine.h"

namespace wattd::rules {

using namespace std::chrono_literals;

/// The rule in a [[rules]] table, whose name is the id.
inline Rule rule_of(const std::string& toml) {
  auto rule = parse_rule(config::parse("[[rules]]\n" + toml, "r.toml").tables("rules")[0]);
  rule.id = rule.name;
  return rule;
}

/// What was read before, from a list.
struct Recorded final : History {
  std::map<std::string, std::vector<Reading>> readings;
  std::map<std::string, Timestamp> seen;

  void visit(const std::string& device, const std::vector<std::string>&, TimeRange range,
             const std::function<void(const Reading&)>& take) override {
    for (const auto& reading : readings[device]) {
      if (range.contains(reading.at)) take(reading);
    }
  }
  std::vector<std::string> fields_of(const std::string&, const std::string& property) override { return {property}; }
  std::optional<Timestamp> last_seen(const std::string& device, const std::string&) override {
    const auto found = seen.find(device);
    return found == seen.end() ? std::nullopt : std::optional(found->second);
  }
};

inline Rule rule(const std::string& more) { return rule_of("name = \"r\"\ndevices = [\"D1\"]\n" + more); }

/// An engine, two clocks that go together, and what it said.
struct EngineTest : testing::Test {
  static Rule overheat(const std::string& more = "") {
    return rule_of(
        "name = \"Bulb Overheat\"\ndevices = [\"D1\"]\nproperty = \"temperature\"\nthreshold = 50\n"
        "severity = \"high\"\nchannels = [\"email\"]\n" +
        more);
  }
  void use(std::vector<Rule> rules) { engine.set_rules(std::move(rules), moment()); }

  Moment moment() const { return {now, mono}; }
  void pass(std::chrono::microseconds time) { now += time, mono += time; }
  /// What a reading of now, or of a while ago, leads to.
  Verdict judge(double value, const std::string& device = "D1", const std::string& field = "temperature",
                std::chrono::microseconds ago = 0s) {
    Verdict verdict;
    engine.judge({.device_id = device, .at = now - ago, .fields = {{field, value}}}, moment(), verdict);
    return verdict;
  }
  /// A second goes by before it.
  Verdict next(double value, const std::string& device = "D1", const std::string& field = "temperature") {
    pass(1s);
    return judge(value, device, field);
  }
  Verdict tick() {
    Verdict verdict;
    engine.tick(moment(), verdict);
    return verdict;
  }
  /// The first tick after a while in which nobody said anything.
  Verdict wait(std::chrono::microseconds time) {
    pass(time);
    return tick();
  }

  Timestamp now = from_unix_us(1'770'463'560'000'000);  // 2026-02-07 11:26 UTC, a Saturday
  Instant mono{1h};
  Engine engine;
};

inline std::vector<std::string> events(const Verdict& verdict) {
  std::vector<std::string> all;
  for (const auto& notice : verdict.notices) all.push_back(notice.channel + ":" + notice.event);
  return all;
}

}  // namespace wattd::rules
