#include "storage/alerts.h"

#include "storage/texts.h"

namespace wattd::storage {
namespace {

constexpr std::int64_t kSlice = 1000;  // rows deleted in one transaction

}  // namespace

Alerts::Alerts(Database& database)
    : put_(
          database,
          "INSERT INTO alerts (alert_id, tenant_id, rule_id, device_id, severity, message, actual_value, "
          "threshold_value, status, count, last_value, last_seen_at, acknowledged_by, acknowledged_at, resolved_at, "
          "created_at, resolved_by, notified_at, escalated_at, late, flapping, stands) "
          "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (alert_id) DO UPDATE SET "
          "severity=excluded.severity, message=excluded.message, status=excluded.status, count=excluded.count, "
          "last_value=excluded.last_value, last_seen_at=excluded.last_seen_at, "
          "acknowledged_by=excluded.acknowledged_by, acknowledged_at=excluded.acknowledged_at, "
          "resolved_at=excluded.resolved_at, resolved_by=excluded.resolved_by, notified_at=excluded.notified_at, "
          "escalated_at=excluded.escalated_at, late=excluded.late, flapping=excluded.flapping, stands=excluded.stands"),
      touch_rule_(database,
                  "UPDATE rules SET last_triggered_at=?1 WHERE rule_id=?2 AND ifnull(last_triggered_at,0) < ?1"),
      announce_(database, "INSERT OR IGNORE INTO outbox (alert_id, channel, event, created_at) VALUES (?,?,?,?)"),
      forget_(database, "DELETE FROM outbox WHERE alert_id=? AND channel=? AND event=?"),
      put_delivery_(database,
                    "INSERT INTO notification_logs (id, alert_id, channel, recipient, event, message_id, status, "
                    "provider_response, attempts, due_at, sending_at, sent_at, created_at) "
                    "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET "
                    "message_id=excluded.message_id, status=excluded.status, "
                    "provider_response=excluded.provider_response, attempts=excluded.attempts, "
                    "due_at=excluded.due_at, sending_at=excluded.sending_at, sent_at=excluded.sent_at") {}

void Alerts::put(const Alert& alert) {
  put_.bind(alert.id).bind(alert.tenant).bind(alert.rule_id).bind(alert.device_id).bind(to_string(alert.severity));
  put_.bind(alert.message).bind(alert.actual_value).bind(alert.threshold_value).bind(to_string(alert.status));
  put_.bind(static_cast<std::int64_t>(alert.count)).bind(alert.last_value).bind(alert.last_seen_at);
  put_.bind_or_null(alert.acknowledged_by).bind(alert.acknowledged_at).bind(alert.resolved_at).bind(alert.created_at);
  put_.bind_or_null(alert.resolved_by).bind(alert.notified_at).bind(alert.escalated_at);
  put_.bind(std::int64_t{alert.is_late}).bind(std::int64_t{alert.is_flapping}).bind(std::int64_t{alert.stands}).run();
  touch_rule_.bind(alert.created_at).bind(alert.rule_id).run();
}

void Alerts::announce(const Announcement& announcement, Timestamp now) {
  announce_.bind(announcement.alert_id).bind(announcement.channel).bind(announcement.event).bind(now).run();
}

void Alerts::forget(const Announcement& announcement) {
  forget_.bind(announcement.alert_id).bind(announcement.channel).bind(announcement.event).run();
}

void Alerts::put(const Delivery& delivery) {
  auto& put = put_delivery_;
  put.bind(delivery.id).bind_or_null(delivery.alert_id).bind(delivery.channel).bind(delivery.recipient);
  put.bind(delivery.event).bind_or_null(delivery.message_id).bind(to_string(delivery.status));
  put.bind_or_null(delivery.response).bind(std::int64_t{delivery.attempts}).bind(delivery.due_at);
  put.bind(delivery.sending_at).bind(delivery.sent_at).bind(delivery.created_at).run();
}

Alert alert_from(const Statement& row) {
  Alert alert;
  alert.id = row.text(0), alert.rule_id = row.text(1), alert.tenant = row.text(2), alert.device_id = row.text(3);
  alert.severity = severity_from(row.text(4)).value_or(Severity::medium);
  alert.message = row.text(5), alert.actual_value = row.real(6), alert.threshold_value = row.real(7);
  alert.status = alert_status_from(row.text(8)).value_or(AlertStatus::open);
  alert.count = static_cast<std::uint64_t>(row.integer(9)), alert.last_value = row.real(10);
  alert.last_seen_at = row.time(11), alert.acknowledged_by = row.text(12);
  alert.acknowledged_at = row.time_if(13), alert.resolved_at = row.time_if(14), alert.created_at = row.time(15);
  alert.resolved_by = row.text(16), alert.notified_at = row.time_if(17), alert.escalated_at = row.time_if(18);
  alert.is_late = row.integer(19) != 0, alert.is_flapping = row.integer(20) != 0, alert.stands = row.integer(21) != 0;
  return alert;
}

std::vector<Alert> load_latest_alerts(Database& database) {
  Statement row(database, std::string(kSelectAlerts) +
                              " WHERE stands = 1 OR alert_id IN (SELECT alert_id FROM (SELECT alert_id, "
                              "max(notified_at) FROM alerts WHERE notified_at IS NOT NULL GROUP BY rule_id, device_id))"
                              " ORDER BY created_at");
  std::vector<Alert> alerts;
  while (row.step()) alerts.push_back(alert_from(row));
  return alerts;
}

std::vector<Announcement> load_announcements(Database& database) {
  Statement row(database, "SELECT alert_id, channel, event FROM outbox ORDER BY id");
  std::vector<Announcement> waiting;
  while (row.step()) waiting.push_back({row.text(0), row.text(1), row.text(2)});
  return waiting;
}

Delivery delivery_from(const Statement& row) {
  Delivery delivery;
  delivery.id = row.text(0), delivery.alert_id = row.text(1), delivery.channel = row.text(2);
  delivery.recipient = row.text(3), delivery.event = row.text(4), delivery.message_id = row.text(5);
  delivery.status = delivery_status_from(row.text(6)).value_or(DeliveryStatus::failed);
  delivery.response = row.text(7), delivery.attempts = static_cast<int>(row.integer(8));
  delivery.due_at = row.time_if(9), delivery.sending_at = row.time_if(10), delivery.sent_at = row.time_if(11);
  delivery.created_at = row.time(12);
  return delivery;
}

std::vector<Delivery> load_pending_deliveries(Database& database) {
  Statement row(database, std::string(kSelectDeliveries) + " WHERE status='pending' ORDER BY created_at, rowid");
  std::vector<Delivery> waiting;
  while (row.step()) waiting.push_back(delivery_from(row));
  return waiting;
}

std::vector<Silence> load_silences(Database& database, Timestamp now) {
  Statement row(database,
                "SELECT silence_id, device_ids, rule_ids, from_at, to_at, created_by, ifnull(comment,'') FROM silences "
                "WHERE to_at > ? ORDER BY from_at");
  row.bind(now);
  std::vector<Silence> silences;
  while (row.step()) {
    silences.push_back({.id = row.text(0),
                        .device_ids = from_json_array(row.text(1)),
                        .rule_ids = from_json_array(row.text(2)),
                        .from = row.time(3),
                        .to = row.time(4),
                        .created_by = row.text(5),
                        .comment = row.text(6)});
  }
  return silences;
}

void put_silence(Database& database, const Silence& silence, Timestamp now) {
  Statement put(database,
                "INSERT INTO silences VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (silence_id) DO UPDATE SET "
                "to_at=excluded.to_at, comment=excluded.comment");
  put.bind(silence.id).bind(to_json_array(silence.device_ids)).bind(to_json_array(silence.rule_ids));
  put.bind(silence.from).bind(silence.to).bind(silence.created_by).bind_or_null(silence.comment).bind(now).run();
}

void put_audit(Database& database, const AuditEntry& entry) {
  Statement put(database, "INSERT INTO audit (at, who, did, subject, detail) VALUES (?,?,?,?,?)");
  put.bind(entry.at).bind(entry.who).bind(entry.did).bind(entry.subject).bind_or_null(entry.detail).run();
}

std::vector<AuditEntry> load_audit(Database& database, const std::string& subject, std::size_t limit) {
  Statement row(database,
                "SELECT at, who, did, subject, ifnull(detail,'') FROM audit WHERE ?1='' OR subject=?1 "
                "ORDER BY id DESC LIMIT ?2");
  row.bind(subject).bind(static_cast<std::int64_t>(limit));
  std::vector<AuditEntry> entries;
  while (row.step()) entries.push_back({row.time(0), row.text(1), row.text(2), row.text(3), row.text(4)});
  return entries;
}

bool expire_alerts(Database& database, Timestamp before) {
  const auto forget = [&](std::string_view condition) {
    Statement old(database, "SELECT alert_id FROM alerts WHERE " + std::string(condition) + " LIMIT ?2");
    old.bind(before).bind(kSlice);
    std::vector<std::string> ids;
    while (old.step()) ids.push_back(old.text(0));
    for (const auto* table : {"notification_logs", "outbox", "alerts"}) {
      Statement drop(database, std::string("DELETE FROM ") + table + " WHERE alert_id=?");
      for (const auto& id : ids) drop.bind(id).run();
    }
    return static_cast<std::int64_t>(ids.size()) == kSlice;
  };
  const bool more = forget("stands = 0 AND status = 'resolved' AND resolved_at < ?1");
  Statement(database, "DELETE FROM silences WHERE to_at < ?").bind(before).run();
  Statement(database, "DELETE FROM audit WHERE at < ?").bind(before).run();
  return more;
}

}  // namespace wattd::storage
