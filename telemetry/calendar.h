#pragma once
#include <memory>
#include <string>

#include "telemetry/time.h"

namespace wattd {

/// A half-open range of time, [from, to).
struct TimeRange {
  Timestamp from;
  Timestamp to;
  bool contains(Timestamp at) const { return at >= from && at < to; }
  bool operator==(const TimeRange&) const = default;
};

/// The hours, days and months of a place: days have 23 to 25 hours when its clocks change, and India's begin at 18:30
/// UTC. Source: the IANA time zone database, through the date library. Threads: any.
class Calendar {
 public:
  /// Takes an IANA name such as "Europe/Berlin".
  /// Errors: throws std::invalid_argument for a name that the system's database does not know.
  explicit Calendar(const std::string& zone = "UTC");
  ~Calendar();
  Calendar(const Calendar& other);
  Calendar& operator=(const Calendar& other);

  /// The hour on the place's clock; cut short only where the clock changes within it.
  TimeRange hour_of(Timestamp at) const;
  /// The clock's quarter hour, the usual block of demand.
  TimeRange quarter_of(Timestamp at) const;
  /// The stretch of `length`, counted from midnight, that `at` lies in: `length` divides a day.
  TimeRange slot_of(Timestamp at, std::chrono::minutes length) const;
  TimeRange day_of(Timestamp at) const;
  TimeRange month_of(Timestamp at) const;
  /// The date of the day that `at` lies in, as 2026-02-07.
  std::string date_of(Timestamp at) const;
  /// What the clock on the wall shows: 0 (Monday) to 6, and minutes since midnight.
  struct Wall {
    int weekday = 0;
    int minute = 0;
  };
  Wall wall_at(Timestamp at) const;
  const std::string& zone() const { return zone_; }

 private:
  struct Zone;

  std::string zone_;
  std::shared_ptr<const Zone> rules_;  ///< Shared by copies: it never changes.
};

}  // namespace wattd
