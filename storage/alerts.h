#pragma once
#include <optional>
#include <string>
#include <vector>

#include "storage/database.h"
#include "telemetry/delivery.h"
#include "telemetry/rule.h"

namespace wattd::storage {

/// Writes alerts and what is to be told of them, within the writer's transactions.
class Alerts {
 public:
  explicit Alerts(Database& database);

  /// Inserts or updates; a rule remembers when it was triggered last.
  void put(const Alert& alert);
  /// Takes note that somebody has to be told; once for each alert, channel and event.
  void announce(const Announcement& announcement, Timestamp now);
  /// Takes it out again.
  void forget(const Announcement& announcement);
  void put(const Delivery& delivery);

 private:
  Statement put_, touch_rule_, announce_, forget_, put_delivery_;
};

inline constexpr std::string_view kSelectAlerts =
    "SELECT alert_id, rule_id, ifnull(tenant_id,''), device_id, severity, message, actual_value, threshold_value, "
    "status, count, last_value, last_seen_at, ifnull(acknowledged_by,''), acknowledged_at, resolved_at, created_at, "
    "ifnull(resolved_by,''), notified_at, escalated_at, late, flapping, stands FROM alerts";
inline constexpr int kAlertColumns = 22;
/// The alert in a row of kSelectAlerts.
Alert alert_from(const Statement& row);

/// For each rule and device the alert that stands, and the one that somebody was told of last.
std::vector<Alert> load_latest_alerts(Database& database);

/// Announcements that nobody has turned into deliveries yet, oldest first.
std::vector<Announcement> load_announcements(Database& database);
/// Deliveries that are still to be made, oldest first.
std::vector<Delivery> load_pending_deliveries(Database& database);
inline constexpr std::string_view kSelectDeliveries =
    "SELECT id, ifnull(alert_id,''), channel, recipient, event, ifnull(message_id,''), status, "
    "ifnull(provider_response,''), attempts, due_at, sending_at, sent_at, created_at FROM notification_logs";
Delivery delivery_from(const Statement& row);

/// Silences that have not ended at `now`.
std::vector<Silence> load_silences(Database& database, Timestamp now);
void put_silence(Database& database, const Silence& silence, Timestamp now);

void put_audit(Database& database, const AuditEntry& entry);
std::vector<AuditEntry> load_audit(Database& database, const std::string& subject, std::size_t limit);

/// Deletes what is over since before `before`, a slice at a time: resolved alerts with what was told of them, silences,
/// the audit trail. True when there is more.
bool expire_alerts(Database& database, Timestamp before);

}  // namespace wattd::storage
