#include "storage/rules.h"

#include <algorithm>
#include <unordered_map>

#include "storage/texts.h"

namespace wattd::storage {
namespace {

Condition condition_from(const Statement& row) {
  Condition condition;
  condition.kind = condition_kind_from(row.text(1)).value_or(ConditionKind::threshold);
  condition.device = row.text(2), condition.property = row.text(3);
  condition.comparison = comparison_from(row.text(4)).value_or(Comparison::greater);
  condition.threshold = row.real(5);
  if (!row.is_null(6)) condition.clear = row.real(6);
  condition.window = std::chrono::microseconds{row.integer(7)};
  condition.reference = row.text(8);
  condition.is_relative = row.integer(9) != 0;
  return condition;
}

Rule rule_from(const Statement& row) {
  Rule rule;
  rule.id = row.text(0), rule.name = row.text(1), rule.description = row.text(2), rule.tenant = row.text(3);
  rule.scope = rule_scope_from(row.text(4)).value_or(RuleScope::all_devices);
  rule.device_ids = from_json_array(row.text(5));
  rule.severity = severity_from(row.text(6)).value_or(Severity::medium);
  rule.status = rule_status_from(row.text(7)).value_or(RuleStatus::active);
  rule.channels = from_json_array(row.text(8));
  rule.cooldown = std::chrono::minutes{row.integer(9)};
  rule.last_triggered_at = row.time_if(10);
  rule.origin = row.text(11);
  rule.scope_name = row.text(12);
  rule.is_total = row.integer(13) != 0;
  rule.needs_all = row.text(14) != "any";
  rule.hold = std::chrono::microseconds{row.integer(15)};
  if (!row.is_null(16)) rule.hours = hours_from(row.text(16));
  rule.is_outside_hours = row.integer(17) != 0;
  rule.escalate_after = std::chrono::microseconds{row.integer(18)};
  rule.escalate_to = from_json_array(row.text(19));
  rule.created_at = row.time(20), rule.updated_at = row.time(21);
  return rule;
}

void put_conditions(Database& database, const Rule& rule) {
  Statement(database, "DELETE FROM rule_conditions WHERE rule_id=?").bind(rule.id).run();
  Statement put(database, "INSERT INTO rule_conditions VALUES (?,?,?,?,?,?,?,?,?,?,?)");
  for (std::size_t i = 0; i < rule.conditions.size(); ++i) {
    const auto& condition = rule.conditions[i];
    put.bind(rule.id).bind(static_cast<std::int64_t>(i)).bind(to_string(condition.kind));
    put.bind_or_null(condition.device).bind_or_null(condition.property).bind(to_string(condition.comparison));
    put.bind(condition.threshold);
    if (condition.clear) put.bind(*condition.clear);
    else put.bind_null();
    put.bind(std::int64_t{condition.window.count()}).bind_or_null(condition.reference);
    put.bind(std::int64_t{condition.is_relative}).run();
  }
}

void put_recipients(Database& database, const Rule& rule) {
  Statement(database, "DELETE FROM rule_recipients WHERE rule_id=?").bind(rule.id).run();
  Statement put(database, "INSERT OR IGNORE INTO rule_recipients VALUES (?,?,?)");
  for (const auto& [channel, recipients] : rule.recipients) {
    for (const auto& recipient : recipients) put.bind(rule.id).bind(channel).bind(recipient).run();
  }
}

/// Of all rules that are not deleted, or of one.
std::vector<Rule> load(Database& database, const std::string& id) {
  std::vector<Rule> rules;
  std::unordered_map<std::string, std::size_t> places;
  Statement row(database,
                "SELECT rule_id, rule_name, ifnull(description,''), ifnull(tenant_id,''), scope, device_ids, severity, "
                "status, notification_channels, cooldown_minutes, last_triggered_at, ifnull(origin,''), "
                "ifnull(scope_name,''), total, match, hold_us, hours, outside_hours, escalate_after_us, escalate_to, "
                "created_at, updated_at FROM rules WHERE (?1='' AND deleted_at IS NULL) OR rule_id=?1 "
                "ORDER BY rule_name, rule_id");
  row.bind(id);
  while (row.step()) {
    rules.push_back(rule_from(row));
    places[rules.back().id] = rules.size() - 1;
  }
  Statement condition(database,
                      "SELECT rule_id, kind, ifnull(device_id,''), ifnull(property,''), condition, threshold, clear, "
                      "window_us, ifnull(reference,''), relative FROM rule_conditions WHERE ?1='' OR rule_id=?1 "
                      "ORDER BY rule_id, position");
  condition.bind(id);
  while (condition.step()) {
    if (const auto place = places.find(condition.text(0)); place != places.end())
      rules[place->second].conditions.push_back(condition_from(condition));
  }
  Statement recipient(
      database, "SELECT rule_id, channel, recipient FROM rule_recipients WHERE ?1='' OR rule_id=?1 ORDER BY rowid");
  recipient.bind(id);
  while (recipient.step()) {
    if (const auto place = places.find(recipient.text(0)); place != places.end())
      rules[place->second].recipients[recipient.text(1)].push_back(recipient.text(2));
  }
  // What a damaged file has left of a rule without its conditions can be judged by nobody.
  std::erase_if(rules, [](const Rule& rule) { return rule.conditions.empty(); });
  return rules;
}

}  // namespace

std::vector<Rule> load_rules(Database& database) { return load(database, ""); }

std::optional<Rule> load_rule(Database& database, const std::string& id) {
  auto found = load(database, id);
  return found.empty() || id.empty() ? std::nullopt : std::optional(std::move(found.front()));
}

void put_rule(Database& database, const Rule& rule, Timestamp now) {
  Statement put(
      database,
      "INSERT INTO rules (rule_id, tenant_id, rule_name, description, scope, device_ids, property, condition, "
      "threshold, severity, status, notification_channels, cooldown_minutes, created_at, updated_at, origin, "
      "scope_name, total, match, hold_us, hours, outside_hours, escalate_after_us, escalate_to) "
      "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?14,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23) ON CONFLICT (rule_id) DO UPDATE "
      "SET rule_name=excluded.rule_name, description=excluded.description, scope=excluded.scope, "
      "device_ids=excluded.device_ids, property=excluded.property, condition=excluded.condition, "
      "threshold=excluded.threshold, severity=excluded.severity, status=excluded.status, "
      "notification_channels=excluded.notification_channels, cooldown_minutes=excluded.cooldown_minutes, "
      "updated_at=excluded.updated_at, origin=excluded.origin, scope_name=excluded.scope_name, total=excluded.total, "
      "match=excluded.match, hold_us=excluded.hold_us, hours=excluded.hours, outside_hours=excluded.outside_hours, "
      "escalate_after_us=excluded.escalate_after_us, escalate_to=excluded.escalate_to, deleted_at=NULL");
  const auto& first = rule.conditions.at(0);
  put.bind(rule.id).bind(rule.tenant).bind(rule.name).bind_or_null(rule.description).bind(to_string(rule.scope));
  put.bind(to_json_array(rule.device_ids)).bind(first.property).bind(to_string(first.comparison));
  put.bind(first.threshold).bind(to_string(rule.severity)).bind(to_string(rule.status));
  put.bind(to_json_array(rule.channels)).bind(std::int64_t{rule.cooldown.count()}).bind(now);
  put.bind_or_null(rule.origin).bind_or_null(rule.scope_name).bind(std::int64_t{rule.is_total});
  put.bind(rule.needs_all ? "all" : "any").bind(std::int64_t{rule.hold.count()});
  if (rule.hours) put.bind(to_string(*rule.hours));
  else put.bind_null();
  put.bind(std::int64_t{rule.is_outside_hours}).bind(std::int64_t{rule.escalate_after.count()});
  put.bind(to_json_array(rule.escalate_to)).run();
  put_conditions(database, rule);
  put_recipients(database, rule);
}

void delete_rule(Database& database, const std::string& rule_id, Timestamp now) {
  Statement(database, "UPDATE rules SET deleted_at=?, status='archived' WHERE rule_id=?").bind(now).bind(rule_id).run();
}

void provision_rules(Database& database, const std::vector<Rule>& rules, Timestamp now) {
  // First as if none stood in a file any more: such a rule is archived, and people may do with it what they like.
  database.execute("UPDATE rules SET status='archived', origin=NULL WHERE origin IS NOT NULL");
  for (const auto& rule : rules) put_rule(database, rule, now);
}

}  // namespace wattd::storage
