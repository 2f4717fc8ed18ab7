#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "telemetry/time.h"

namespace wattd {

/// That a channel has to tell of a change of an alert; it stands in the outbox from the transaction of that change
/// until it has become deliveries.
struct Announcement {
  std::string alert_id;
  std::string channel;
  std::string event;  ///< raised, escalated or resolved.

  bool operator==(const Announcement&) const = default;
};

/// sent: the provider took it; failed: it was given up, with the reason; bounced: the provider refuses the recipient.
enum class DeliveryStatus { pending, sent, failed, bounced };
std::string_view to_string(DeliveryStatus status);
std::optional<DeliveryStatus> delivery_status_from(std::string_view text);

/// One message to one recipient about one change of an alert, and what became of it: a row of `notification_logs`.
struct Delivery {
  std::string id;  ///< UUID.
  std::string alert_id;
  std::string channel;
  std::string recipient;
  std::string event;
  std::string message_id;  ///< Deliveries that went out as one message share it.
  DeliveryStatus status = DeliveryStatus::pending;
  std::string response;  ///< What the provider said last, or why nobody could be asked.
  int attempts = 0;
  std::optional<Timestamp> due_at;      ///< Not before this.
  std::optional<Timestamp> sending_at;  ///< When it was last handed over, until the answer is known.
  std::optional<Timestamp> sent_at;
  Timestamp created_at{};

  bool operator==(const Delivery&) const = default;
};

/// Who did what to a rule, an alert or a silence.
struct AuditEntry {
  Timestamp at{};
  std::string who;
  std::string did;      ///< Such as `acknowledged`.
  std::string subject;  ///< Such as `alert/ID`.
  std::string detail;

  bool operator==(const AuditEntry&) const = default;
};

}  // namespace wattd
