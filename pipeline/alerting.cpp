// Rules and alerts on their way through the pipeline: what people change of them, and what comes of that.
#include <fmt/format.h>

#include <algorithm>

#include "pipeline/pipeline.h"
#include "pipeline/rule_history.h"

namespace wattd::pipeline {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 50ms;      // of sources, where nothing waits for a reading but its commit
constexpr auto kRulesPatience = 1ms;  // and where rules may raise an alert at once

}  // namespace

Result<Alert> Pipeline::change_alert(Alert alert, const std::function<void(Alert&)>& change, AuditEntry entry) {
  // The engine knows the latest count and value of an alert that stands.
  const auto later =
      std::find_if(group_.alerts.rbegin(), group_.alerts.rend(), [&](const Alert& one) { return one.id == alert.id; });
  if (const auto* current = engine_.find(alert.id)) alert = *current;
  else if (later != group_.alerts.rend()) alert = *later;
  if (alert.status == AlertStatus::resolved) return fail(ErrorKind::permanent, "the alert is resolved already");
  change(alert);
  storage::Changes changes{.alerts = {alert}, .audit = {std::move(entry)}};
  if (alert.status == AlertStatus::resolved && (alert.notified_at || alert.escalated_at)) {
    for (const auto& channel : engine_.told_of(alert)) changes.announcements.push_back({alert.id, channel, "resolved"});
  }
  if (auto written = store_.put(changes); !written) return std::unexpected(written.error());
  engine_.replace(alert);
  note_standing();
  std::erase_if(group_.alerts, [&](const Alert& older) { return older.id == alert.id; });
  auto announced = std::make_shared<Committed>();
  announced->seq = store_.usage().last_seq;
  announced->alerts = {alert};
  announced->announcements = std::move(changes.announcements);
  tell_listener(announced);
  return alert;
}

void Pipeline::note(storage::Changes changes) {
  std::ranges::move(changes.told, std::back_inserter(group_.told));
  std::ranges::move(changes.deliveries, std::back_inserter(group_.deliveries));
  open_group(clock_.monotonic());
}

Result<void> Pipeline::write(storage::Changes changes) {
  storage::Changes all{.told = group_.told, .deliveries = group_.deliveries};
  std::ranges::move(changes.told, std::back_inserter(all.told));
  std::ranges::move(changes.deliveries, std::back_inserter(all.deliveries));
  if (auto written = store_.put(all); !written) return written;
  group_.told.clear();
  group_.deliveries.clear();
  return {};
}

Result<Rule> Pipeline::put_rule(Rule rule, AuditEntry entry) {
  auto all = store_.rules();
  const auto same_name = [&](const Rule& other) { return other.name == rule.name && other.id != rule.id; };
  const auto before = std::ranges::find(all, rule.id, &Rule::id);
  const bool is_named_anew = before == all.end() || before->name != rule.name;
  if (is_named_anew && std::ranges::any_of(all, same_name))
    return fail(ErrorKind::permanent, fmt::format("there is a rule called {:?} already", rule.name));
  std::erase_if(all, [&](const Rule& other) { return other.id == rule.id; });
  all.push_back(rule);
  if (auto fits = rules::check_limits(all, options_.rules); !fits) return std::unexpected(fits.error());
  if (auto written = store_.put({.rules = {rule}, .audit = {std::move(entry)}}); !written)
    return std::unexpected(written.error());
  set_rules(store_.rules());
  const auto stored = std::ranges::find(engine_.rules(), rule.id, &Rule::id);
  return stored == engine_.rules().end() ? rule : *stored;
}

Result<void> Pipeline::delete_rule(const std::string& id, AuditEntry entry) {
  if (auto written = store_.put({.deleted_rules = {id}, .audit = {std::move(entry)}}); !written) return written;
  set_rules(store_.rules());
  return {};
}

Result<void> Pipeline::put_silence(const Silence& silence, AuditEntry entry) {
  if (auto written = store_.put({.silences = {silence}, .audit = {std::move(entry)}}); !written) return written;
  engine_.set_silences(store_.silences(clock_.now()));
  return {};
}

/// Where rules may raise an alert at once, sources do not gather readings for long.
void Pipeline::note_patience(const std::vector<Rule>& rules) {
  const bool any = std::ranges::any_of(
      rules, [](const Rule& rule) { return rule.status == RuleStatus::active && rule.origin != rules::kBuiltIn; });
  const std::chrono::milliseconds patience = any ? kRulesPatience : kPatience;
  patience_ms_ = static_cast<int>(std::min(patience, options_.commit_interval / 8).count());
}

void Pipeline::set_rules(std::vector<Rule> rules) {
  note_patience(rules);
  save_alerts(engine_.set_rules(std::move(rules), moment()));
  recall_rules();
}

void Pipeline::renew_rules(const rules::Options& options) {
  options_.rules = options;
  engine_.set_options(options);
  save_alerts(engine_.set_devices(registry_.devices(), moment()));
  engine_.set_silences(store_.silences(clock_.now()));
  set_rules(store_.rules());
}

std::map<std::pair<std::string, std::string>, SeriesFacts> Pipeline::facts() const {
  std::map<std::pair<std::string, std::string>, SeriesFacts> all;
  for (const auto& series : store_.series()) {
    if (const auto facts = registry_.facts_of(series.device_id, series.field))
      all.emplace(std::pair(series.device_id, series.field), *facts);
  }
  return all;
}

/// What stands now, for those who look at it from other threads.
void Pipeline::note_standing() {
  for (std::size_t i = 0; i < counts_.active_alerts.size(); ++i) {
    counts_.active_alerts[i] = static_cast<std::int64_t>(engine_.active(static_cast<Severity>(i)));
  }
  auto channels = engine_.standing_channels();
  const std::scoped_lock lock(mutex_);
  standing_channels_ = std::move(channels);
}

void Pipeline::recall_rules() {
  StoredHistory history(store_);
  engine_.recall(history, moment());
}

void Pipeline::judge_own(const Reading& reading) {
  rules::Verdict verdict;
  engine_.judge(reading, moment(), verdict);
  absorb(std::move(verdict), reading.received);
}

/// Puts what rules have found into the open group.
void Pipeline::absorb(rules::Verdict verdict, Timestamp arrived) {
  if (verdict.changed.empty()) return;
  open_group(clock_.monotonic());
  counts_.alerts += verdict.raised;
  alert_arrivals_.insert(alert_arrivals_.end(), verdict.raised, arrived);
  std::ranges::move(verdict.changed, std::back_inserter(group_.alerts));
  std::ranges::move(verdict.notices, std::back_inserter(group_.outbox));
  urgent_ = urgent_ || verdict.urgent;
}

void Pipeline::save_alerts(std::vector<Alert> alerts) {
  std::ranges::move(engine_.take_notices(), std::back_inserter(group_.outbox));
  if (alerts.empty()) return;
  for (auto& alert : alerts) group_.alerts.push_back(std::move(alert));
  open_group(clock_.monotonic());
}

std::vector<std::string> Pipeline::standing_channels() const {
  const std::scoped_lock lock(mutex_);
  return standing_channels_;
}

}  // namespace wattd::pipeline
