#include "ml-lite/features/calendar.h"

namespace wattd::ml {

Calendar calendar_at(LocalTime at, const Holidays& holidays) {
  using namespace std::chrono;
  const auto day = floor<days>(at);
  const auto seconds = static_cast<double>((at - day).count());
  const year_month_day date(day);
  const local_days first{date.year() / January / 1}, next{(date.year() + years{1}) / January / 1};
  Calendar calendar;
  calendar.hour_share = seconds / 3600;
  calendar.hour = static_cast<std::uint32_t>(calendar.hour_share);
  calendar.weekday = weekday(day).iso_encoding() - 1;
  calendar.weekend = calendar.weekday >= 5;
  calendar.holiday = holidays.contains(day);
  calendar.year_share =
      static_cast<double>((at - local_seconds(first)).count()) / static_cast<double>(((next - first) / 1s));
  return calendar;
}

}  // namespace wattd::ml
