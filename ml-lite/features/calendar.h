#pragma once
#include <chrono>
#include <cstdint>
#include <set>

#include "telemetry/bytes.h"

namespace wattd::ml {

/// What the wall clock of the site shows: seasons of load follow it, not UTC.
using LocalTime = std::chrono::local_seconds;

/// Days on which the site lives as on a Sunday, as the user names them.
using Holidays = std::set<std::chrono::local_days>;

/// Where a moment lies in the day, the week and the year.
struct Calendar {
  std::uint32_t hour = 0;     ///< 0 to 23.
  double hour_share = 0;      ///< 0 to 24, minutes as a part.
  std::uint32_t weekday = 0;  ///< 0 (Monday) to 6.
  bool weekend = false;
  bool holiday = false;
  double year_share = 0;  ///< 0 to 1.

  /// 0 working day, 1 Saturday, 2 Sunday or holiday.
  std::uint32_t day_type() const { return holiday || weekday == 6 ? 2 : weekday == 5 ? 1 : 0; }
};

Calendar calendar_at(LocalTime at, const Holidays& holidays = {});

/// Times and days in a model's file. Errors: throw BadBytes for times that no calendar reaches.
void write_time(ByteWriter& out, LocalTime at);
LocalTime read_time(ByteReader& in);
void write_days(ByteWriter& out, const Holidays& days);
Holidays read_days(ByteReader& in);

}  // namespace wattd::ml
