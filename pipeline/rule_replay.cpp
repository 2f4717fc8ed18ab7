#include "pipeline/rule_replay.h"

#include <algorithm>
#include <map>
#include <set>

#include "telemetry/meter_tree.h"

namespace wattd::pipeline {
namespace {

using namespace std::chrono_literals;

constexpr auto kSlice = 1h;  // of all devices' readings, held at once
constexpr auto kStep = 10s;  // of time while nobody says anything

/// Whose readings the rule looks at.
std::set<std::string> devices_of(const Rule& rule, const std::vector<Device>& devices) {
  std::set<std::string> ids(rule.device_ids.begin(), rule.device_ids.end());
  for (const auto& condition : rule.conditions) {
    if (!condition.device.empty()) ids.insert(condition.device);
  }
  for (const auto& device : devices) {
    const bool is_inside = rule.scope == RuleScope::all_devices ||
                           (rule.scope == RuleScope::building && device.building == rule.scope_name) ||
                           (rule.scope == RuleScope::device_type && device.type == rule.scope_name);
    if (is_inside && !device.deleted_at) ids.insert(device.id);
  }
  if (!rule.is_total) return ids;
  if (const auto terms = terms_of_building(rule.scope_name, devices)) {
    for (const auto& term : *terms) ids.insert(term.device_id);
  }
  return ids;
}

class Replay {
 public:
  Replay(rules::Engine engine, Timestamp from) : engine_(std::move(engine)), from_(from), at_(from) {}

  rules::Moment moment(Timestamp at) const { return {at, Instant{} + 1h + (at - from_)}; }
  rules::Engine& engine() { return engine_; }
  RuleReplay& result() { return result_; }

  void take(const Reading& reading) {
    pass(reading.at);
    rules::Verdict verdict;
    engine_.judge(reading, moment(std::max(at_, reading.at)), verdict);
    result_.readings += 1;
    note(std::move(verdict));
  }

  /// Lets time go by until `until`.
  void pass(Timestamp until) {
    while (at_ < until) {
      at_ = std::min<Timestamp>(at_ + kStep, until);
      rules::Verdict verdict;
      engine_.tick(moment(at_), verdict);
      note(std::move(verdict));
    }
  }

 private:
  void note(rules::Verdict verdict) {
    result_.raised += verdict.raised;
    for (auto& alert : verdict.changed) {
      const auto [place, is_new] = places_.try_emplace(alert.id, result_.alerts.size());
      if (is_new && result_.alerts.size() < RuleReplay::kMost) result_.alerts.emplace_back();
      if (place->second < result_.alerts.size()) result_.alerts[place->second].alert = std::move(alert);
    }
    std::set<std::string> told;
    for (const auto& notice : verdict.notices) {
      if (notice.event == "raised") told.insert(notice.alert_id);
    }
    result_.told += told.size();
    for (const auto& id : told) {
      if (const auto place = places_.find(id); place != places_.end() && place->second < result_.alerts.size())
        result_.alerts[place->second].told = true;
    }
  }

  rules::Engine engine_;
  Timestamp from_, at_;
  RuleReplay result_;
  std::map<std::string, std::size_t> places_;
};

}  // namespace

Result<RuleReplay> replay_rule(storage::Reader& reader, const std::vector<Device>& devices, Rule rule,
                               const rules::Options& options, rules::Engine::FactsOf facts_of, TimeRange range,
                               std::chrono::milliseconds budget) {
  const auto deadline = std::chrono::steady_clock::now() + budget;
  const auto ids = devices_of(rule, devices);
  rule.status = RuleStatus::active;
  // Nobody may stand with the rule yet; whether somebody would be told is asked all the same.
  if (rule.channels.empty()) rule.channels.emplace_back("somebody");
  Replay replay(rules::Engine(options, reader.calendar(), std::move(facts_of)), range.from);
  replay.engine().set_devices(devices, replay.moment(range.from));
  replay.engine().set_rules({std::move(rule)}, replay.moment(range.from));
  for (auto from = range.from; from < range.to; from += kSlice) {
    const TimeRange slice{from, std::min<Timestamp>(from + kSlice, range.to)};
    std::vector<Reading> readings;
    for (const auto& id : ids) {
      const auto visited = reader.visit(id, {}, slice, [&](Reading reading) {
        readings.push_back(std::move(reading));
        return true;
      });
      if (!visited) return std::unexpected(visited.error());
    }
    std::ranges::stable_sort(readings, {}, &Reading::at);
    for (const auto& reading : readings) replay.take(reading);
    replay.pass(slice.to);
    replay.result().until = slice.to;
    if (std::chrono::steady_clock::now() > deadline) break;
  }
  return std::move(replay.result());
}

}  // namespace wattd::pipeline
