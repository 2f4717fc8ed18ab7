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

void write_time(ByteWriter& out, LocalTime at) { out.zigzag_varint(at.time_since_epoch().count()); }

LocalTime read_time(ByteReader& in) {
  // A year 30,000 is no plant's: beyond it the calendar's arithmetic would overflow.
  constexpr std::int64_t kFarthest = 900'000'000'000;
  const auto seconds = in.zigzag_varint();
  if (seconds < -kFarthest || seconds > kFarthest) throw BadBytes("an impossible time");
  return LocalTime(std::chrono::seconds(seconds));
}

void write_days(ByteWriter& out, const Holidays& days) {
  out.varint(days.size());
  for (const auto day : days) out.zigzag_varint(day.time_since_epoch().count());
}

Holidays read_days(ByteReader& in) {
  constexpr std::int64_t kFarthest = 10'000'000;
  Holidays days;
  for (auto left = in.count(1); left > 0; --left) {
    const auto day = in.zigzag_varint();
    if (day < -kFarthest || day > kFarthest) throw BadBytes("an impossible day");
    days.insert(std::chrono::local_days(std::chrono::days(day)));
  }
  return days;
}

}  // namespace wattd::ml
