// Rules, alerts and what is told of them, in the catalogue.
#include "storage/rules.h"

#include <fmt/format.h>

#include "storage/schema.h"
#include "tests/storage/store_fixture.h"

namespace wattd::storage {
namespace {

struct RulesInStore : StoreFixture {};

Rule full_rule() {
  Rule rule{.id = "r1", .name = "hot", .description = "too hot", .device_ids = {"a\"b", "c,d"}};
  rule.scope = RuleScope::selected_devices;
  rule.conditions = {{.property = "temperature", .threshold = 50, .clear = 45},
                     {.kind = ConditionKind::deviation,
                      .device = "D2",
                      .property = "p",
                      .comparison = Comparison::less_or_equal,
                      .threshold = -1.5,
                      .window = 15min,
                      .reference = "q",
                      .is_relative = true}};
  rule.needs_all = false;
  rule.hold = 5min;
  rule.hours = hours_from("Mon-Fri 07:00-18:00");
  rule.is_outside_hours = true;
  rule.severity = Severity::critical;
  rule.channels = {"email", "telegram"};
  rule.recipients = {{"email", {"a@b.c", "d@e.f"}}};
  rule.cooldown = 0min;
  rule.escalate_after = 30min;
  rule.escalate_to = {"boss"};
  rule.origin = "x:1";
  return rule;
}

/// Without what the store adds itself.
Rule as_given(Rule rule) {
  rule.created_at = rule.updated_at = {};
  return rule;
}

Alert an_alert(const std::string& id, Timestamp at) {
  return {.id = id, .rule_id = "r1", .device_id = "D1", .message = "hot", .created_at = at, .last_seen_at = at};
}

TEST_F(RulesInStore, keeps_all_that_a_rule_says) {
  ASSERT_TRUE(store->provision_rules({full_rule()}, kNoon));
  ASSERT_EQ(store->rules().size(), 1u);
  EXPECT_EQ(as_given(store->rules()[0]), full_rule());
  auto changed = full_rule();
  changed.conditions.pop_back();
  changed.recipients.clear();
  changed.hours.reset();
  changed.scope = RuleScope::building, changed.scope_name = "hall", changed.device_ids.clear();
  ASSERT_TRUE(store->put({.rules = {changed}}));
  EXPECT_EQ(as_given(store->rules().at(0)), changed);
  EXPECT_EQ(as_given(**Reader(store->path()).rule("r1")), changed);
  EXPECT_FALSE(*Reader(store->path()).rule("r2"));
}

TEST_F(RulesInStore, archives_a_provisioned_rule_that_left_the_files) {
  ASSERT_TRUE(store->provision_rules({full_rule()}, kNoon));
  ASSERT_TRUE(store->provision_rules({}, kNoon));
  EXPECT_EQ(store->rules()[0].status, RuleStatus::archived);
}

TEST_F(RulesInStore, a_deleted_rule_is_gone_and_its_alerts_stay) {
  auto rule = full_rule();
  rule.origin.clear();
  ASSERT_TRUE(store->put({.rules = {rule}, .alerts = {an_alert("a1", kNoon)}}));
  ASSERT_TRUE(store->put({.deleted_rules = {"r1"}}));
  EXPECT_TRUE(store->rules().empty());
  EXPECT_EQ(Reader(store->path()).alerts("", "", 10)->size(), 1u);
}

TEST_F(RulesInStore, a_changed_alert_keeps_what_is_to_be_told_of_it) {
  ASSERT_TRUE(store->provision_rules({full_rule()}, kNoon));
  auto alert = an_alert("a1", kNoon);
  ASSERT_TRUE(store->commit({.alerts = {alert}, .outbox = {{"a1", "email", "raised"}, {"a1", "email", "raised"}}}));
  alert.count = 7, alert.acknowledged_by = "me", alert.acknowledged_at = kNoon, alert.is_flapping = true;
  alert.status = AlertStatus::acknowledged, alert.escalated_at = alert.notified_at = kNoon;
  ASSERT_TRUE(store->put({.alerts = {alert}}));
  const auto waiting = store->announcements();
  ASSERT_EQ(waiting.size(), 1u) << "one, however often it is said";
  EXPECT_EQ(store->latest_alerts(), std::vector{alert});
  EXPECT_EQ(**Reader(store->path()).alert("a1"), alert);
  EXPECT_EQ(store->rules().at(0).last_triggered_at, kNoon);

  const Delivery delivery{.id = "d1",
                          .alert_id = "a1",
                          .channel = "email",
                          .recipient = "a@b.c",
                          .event = "raised",
                          .due_at = kNoon,
                          .created_at = kNoon};
  ASSERT_TRUE(store->put({.told = waiting, .deliveries = {delivery}}));
  EXPECT_TRUE(store->announcements().empty());
  EXPECT_EQ(store->pending_deliveries(), std::vector{delivery});
  auto sent = delivery;
  sent.status = DeliveryStatus::sent, sent.attempts = 2, sent.response = "250 OK", sent.sent_at = kNoon;
  sent.message_id = "m", sent.due_at.reset();
  ASSERT_TRUE(store->put({.deliveries = {sent}}));
  EXPECT_TRUE(store->pending_deliveries().empty());
  EXPECT_EQ(*Reader(store->path()).deliveries("a1", "", 10), std::vector{sent});
}

TEST_F(RulesInStore, the_latest_alerts_are_those_that_stand_and_those_that_were_told) {
  ASSERT_TRUE(store->provision_rules({full_rule()}, kNoon));
  std::vector<Alert> all;
  for (int i = 0; i < 5; ++i) {
    all.push_back(an_alert(fmt::format("a{}", i), kNoon + std::chrono::minutes{i}));
    all.back().stands = false, all.back().status = AlertStatus::resolved;
    if (i == 1 || i == 2) all.back().notified_at = all.back().created_at;
  }
  all.push_back(an_alert("now", kNoon + 1h));
  ASSERT_TRUE(store->put({.alerts = all}));
  const auto latest = store->latest_alerts();
  ASSERT_EQ(latest.size(), 2u);
  EXPECT_EQ(latest[0].id, "a2");
  EXPECT_EQ(latest[1].id, "now");
}

TEST_F(RulesInStore, keeps_silences_until_they_end_and_who_did_what) {
  const Silence silence{
      .id = "s1", .device_ids = {"D1"}, .from = kNoon, .to = kNoon + 1h, .created_by = "me", .comment = "cleaning"};
  const AuditEntry entry{kNoon, "me", "silenced", "silence/s1", "cleaning"};
  ASSERT_TRUE(store->put({.silences = {silence}, .audit = {entry}}));
  EXPECT_EQ(store->silences(kNoon), std::vector{silence});
  EXPECT_TRUE(store->silences(kNoon + 1h).empty());
  EXPECT_EQ(*Reader(store->path()).audit("silence/s1", 10), std::vector{entry});
  EXPECT_TRUE(Reader(store->path()).audit("silence/s2", 10)->empty());
}

TEST_F(RulesInStore, alerts_that_are_over_for_long_are_deleted_with_what_was_told_of_them) {
  ASSERT_TRUE(store->provision_rules({full_rule()}, kNoon));
  auto old = an_alert("old", kNoon - 24h * 400);
  old.status = AlertStatus::resolved, old.stands = false, old.resolved_at = old.created_at;
  ASSERT_TRUE(store->put({.alerts = {old, an_alert("stands", kNoon - 24h * 400)},
                          .deliveries = {{.id = "d", .alert_id = "old", .channel = "c", .recipient = "r"}}}));
  Database database(store->path(), Database::Mode::writer);
  expire_alerts(database, kNoon - 24h * 365);
  const auto left = *Reader(store->path()).alerts("", "", 10);
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].id, "stands");
  EXPECT_TRUE(Reader(store->path()).deliveries("", "", 10)->empty());
}

TEST_F(RulesInStore, rules_and_alerts_of_the_schema_before_conditions_live_on) {
  const auto path = directory + "/old.db";
  {
    Database database(path, Database::Mode::writer);
    migrate(database, 3);
    database.execute(
        "INSERT INTO rules (rule_id, rule_name, scope, device_ids, property, condition, threshold, created_at, "
        "updated_at) VALUES ('r', 'hot', 'selected_devices', '[\"D1\"]', 'temperature', '>=', 50, 1, 2);"
        "INSERT INTO alerts (alert_id, rule_id, device_id, severity, message, actual_value, threshold_value, status, "
        "last_value, last_seen_at, created_at) VALUES ('a', 'r', 'D1', 'high', 'm', 60, 50, 'open', 60, 3, 3),"
        "('b', 'r', 'D1', 'high', 'm', 60, 50, 'resolved', 60, 3, 3);"
        "INSERT INTO outbox (alert_id, channel, event, created_at) VALUES ('a', 'email', 'raised', 3)");
    migrate(database);
    const auto rules = load_rules(database);
    ASSERT_EQ(rules.size(), 1u);
    EXPECT_EQ(rules[0].device_ids, std::vector<std::string>{"D1"});
    ASSERT_EQ(rules[0].conditions.size(), 1u);
    EXPECT_EQ(rules[0].conditions[0].property, "temperature");
    EXPECT_EQ(rules[0].conditions[0].comparison, Comparison::greater_or_equal);
    const auto latest = load_latest_alerts(database);
    ASSERT_EQ(latest.size(), 1u);
    EXPECT_EQ(latest[0].id, "a");
    EXPECT_TRUE(latest[0].stands);
    EXPECT_TRUE(load_announcements(database).empty());
  }
}

}  // namespace
}  // namespace wattd::storage
