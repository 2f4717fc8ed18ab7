#include "telemetry/calendar.h"

#include <date/tz.h>
#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>

namespace wattd {
namespace {

using LocalTime = date::local_time<std::chrono::microseconds>;

}  // namespace

/// One zone, with the period of constant offset that was asked for last: nearly every question falls into it.
struct Calendar::Zone {
  const date::time_zone* zone = nullptr;

  date::sys_info period_of(Timestamp at) const {
    const std::scoped_lock lock(mutex);
    const auto second = std::chrono::floor<std::chrono::seconds>(at);
    if (second < last.begin || second >= last.end) last = zone->get_info(second);
    return last;
  }
  /// The instant at which a place's calendar says `local`; the first one where it says so twice, and the moment of
  /// the change where it never says so.
  Timestamp instant_of(LocalTime local) const { return zone->to_sys(local, date::choose::earliest); }
  LocalTime local_of(Timestamp at) const { return LocalTime{at.time_since_epoch() + period_of(at).offset}; }

 private:
  mutable std::mutex mutex;
  mutable date::sys_info last{};  ///< Guarded by mutex.
};

Calendar::Calendar(const std::string& zone) : zone_(zone) {
  auto rules = std::make_shared<Zone>();
  try {
    rules->zone = date::locate_zone(zone);
  } catch (const std::runtime_error&) {
    throw std::invalid_argument(fmt::format(
        "{:?} is not a time zone that this system knows; expected an IANA name such as Europe/Berlin", zone));
  }
  rules_ = std::move(rules);
}

Calendar::~Calendar() = default;
Calendar::Calendar(const Calendar& other) = default;
Calendar& Calendar::operator=(const Calendar& other) = default;

TimeRange Calendar::slot_of(Timestamp at, std::chrono::minutes length) const {
  const auto period = rules_->period_of(at);
  const auto local = at.time_since_epoch() + period.offset;
  const auto into = (local % length + length) % length;
  const Timestamp start = std::max<Timestamp>(at - into, period.begin);
  return {start, std::min<Timestamp>(at - into + length, period.end)};
}

TimeRange Calendar::hour_of(Timestamp at) const { return slot_of(at, std::chrono::hours{1}); }
TimeRange Calendar::quarter_of(Timestamp at) const { return slot_of(at, std::chrono::minutes{15}); }

TimeRange Calendar::day_of(Timestamp at) const {
  const auto day = date::floor<date::days>(rules_->local_of(at));
  return {rules_->instant_of(day), rules_->instant_of(day + date::days{1})};
}

TimeRange Calendar::month_of(Timestamp at) const {
  const date::year_month_day day{date::floor<date::days>(rules_->local_of(at))};
  const auto first = day.year() / day.month() / 1;
  return {rules_->instant_of(date::local_days{first}), rules_->instant_of(date::local_days{first + date::months{1}})};
}

Calendar::Wall Calendar::wall_at(Timestamp at) const {
  const auto local = rules_->local_of(at);
  const auto day = date::floor<date::days>(local);
  return {static_cast<int>(date::weekday{day}.iso_encoding()) - 1,
          static_cast<int>((local - day) / std::chrono::minutes{1})};
}

std::string Calendar::date_of(Timestamp at) const {
  const date::year_month_day day{date::floor<date::days>(rules_->local_of(at))};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                     static_cast<unsigned>(day.day()));
}

}  // namespace wattd
