#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "telemetry/clock.h"
#include "telemetry/delivery.h"
#include "telemetry/device.h"
#include "telemetry/message.h"
#include "telemetry/reading.h"
#include "telemetry/rule.h"

namespace wattd::storage {

/// Segments behind `from`, up to `to`.
struct SegmentRange {
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  bool operator==(const SegmentRange&) const = default;
};

/// What one sink still owes: nothing up to `settled`, nor of what lies in `done`; an answer that may yet be lost up to
/// `sent`.
struct Cursor {
  std::string sink_id;
  std::uint64_t settled = 0;
  std::uint64_t sent = 0;
  std::vector<SegmentRange> done = {};  ///< Beyond `settled`, in order and apart: live data goes before what is late.
  bool paused = false;                  ///< By a person.
  std::string spent_on = {};            ///< The last day of the site's clock on which the sink sent or received,
  std::int64_t spent_bytes = 0;         ///< and how many bytes, over all of its streams.
  bool operator==(const Cursor&) const = default;
};

/// Everything that one transaction writes: all of it is there after a crash, or none.
struct Group {
  std::vector<Device> devices;  ///< New or changed records; written before the readings that carry their version.
  std::vector<Reading> readings;
  std::vector<Reading> held;  ///< Stamped by a clock that nothing vouches for, in this boot.
  Boot boot;                  ///< Of what is held.
  std::vector<Receipt> receipts;
  std::vector<DeadLetter> dead_letters;
  std::vector<std::int64_t> replayed;  ///< Dead letters whose message is among the readings now.
  std::vector<Alert> alerts;           ///< Raised or changed.
  std::vector<Announcement> outbox;    ///< What is to be told of them.
  std::vector<Announcement> told;      ///< What has been told in the meantime,
  std::vector<Delivery> deliveries;    ///< and how that went.
  std::vector<Cursor> cursors;

  bool empty() const {
    return devices.empty() && readings.empty() && held.empty() && dead_letters.empty() && replayed.empty() &&
           alerts.empty() && outbox.empty() && told.empty() && deliveries.empty() && cursors.empty() &&
           receipts.empty();
  }
};

/// What people and their messages change, beside the readings: written in one transaction.
struct Changes {
  std::vector<Rule> rules;                 ///< New or changed,
  std::vector<std::string> deleted_rules;  ///< and those that are not to be any more.
  std::vector<Alert> alerts;
  std::vector<Announcement> announcements;  ///< New ones,
  std::vector<Announcement> told;           ///< and those that have become deliveries.
  std::vector<Delivery> deliveries;
  std::vector<Silence> silences;
  std::vector<AuditEntry> audit;

  bool empty() const {
    return rules.empty() && deleted_rules.empty() && alerts.empty() && announcements.empty() && told.empty() &&
           deliveries.empty() && silences.empty() && audit.empty();
  }
};

}  // namespace wattd::storage
