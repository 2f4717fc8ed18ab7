#include "telemetry/time.h"

#include <fmt/format.h>

#include <cmath>

namespace wattd {
namespace {

using namespace std::chrono;

/// Takes exactly `count` digits off the front of `text`.
std::optional<int> take_digits(std::string_view& text, int count) {
  if (std::ssize(text) < count) return std::nullopt;
  int number = 0;
  for (int i = 0; i < count; ++i) {
    const char c = text[i];
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + (c - '0');
  }
  text.remove_prefix(count);
  return number;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<microseconds> take_fraction(std::string_view& text) {
  if (!take(text, ".,")) return microseconds{0};
  std::int64_t us = 0;
  int digits = 0;
  for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1)) {
    if (digits++ < 6) us = us * 10 + (text.front() - '0');
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 6; ++digits) us *= 10;
  return microseconds{us};
}

std::optional<minutes> take_zone(std::string_view& text) {
  if (text.empty() || take(text, "Zz")) return minutes{0};
  const bool behind = text.front() == '-';
  if (!take(text, "+-")) return std::nullopt;
  const auto hour = take_digits(text, 2);
  take(text, ":");
  const auto minute = take_digits(text, 2);
  if (!hour || !minute || *hour > 23 || *minute > 59) return std::nullopt;
  const minutes offset = hours{*hour} + minutes{*minute};
  return behind ? -offset : offset;
}

}  // namespace

std::optional<Timestamp> parse_iso8601(std::string_view text) {
  const auto y = take_digits(text, 4);
  if (!y || !take(text, "-")) return std::nullopt;
  const auto mo = take_digits(text, 2);
  if (!mo || !take(text, "-")) return std::nullopt;
  const auto d = take_digits(text, 2);
  if (!d || !take(text, "Tt ")) return std::nullopt;
  const auto h = take_digits(text, 2);
  if (!h || !take(text, ":")) return std::nullopt;
  const auto mi = take_digits(text, 2);
  if (!mi) return std::nullopt;
  std::optional<int> s = 0;
  if (take(text, ":")) s = take_digits(text, 2);
  if (!s) return std::nullopt;
  const auto fraction = take_fraction(text);
  const auto zone = take_zone(text);
  if (!fraction || !zone || !text.empty()) return std::nullopt;

  const year_month_day date{year{*y}, month(static_cast<unsigned>(*mo)), day(static_cast<unsigned>(*d))};
  if (!date.ok() || *h > 23 || *mi > 59 || *s > 60) return std::nullopt;
  return Timestamp{sys_days{date}} + hours{*h} + minutes{*mi} + seconds{*s} + *fraction - *zone;
}

std::optional<Timestamp> from_epoch_number(double value) {
  if (!std::isfinite(value) || value < 0 || value >= 1e19) return std::nullopt;
  if (value < 1e11) return from_unix_us(std::llround(value * 1e6));
  if (value < 1e14) return from_unix_us(std::llround(value * 1e3));
  if (value < 1e17) return from_unix_us(std::llround(value));
  return from_unix_us(std::llround(value / 1e3));
}

std::optional<Timestamp> from_epoch_number(std::int64_t value) {
  if (value < 0) return std::nullopt;
  if (value < 100'000'000'000) return from_unix_us(value * 1'000'000);
  if (value < 100'000'000'000'000) return from_unix_us(value * 1'000);
  if (value < 100'000'000'000'000'000) return from_unix_us(value);
  return from_unix_us(value / 1'000);
}

std::string format_iso8601(Timestamp at) {
  const auto day_start = floor<days>(at);
  const year_month_day date{day_start};
  const hh_mm_ss clock{at - day_start};
  const auto head =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", int(date.year()), unsigned(date.month()), unsigned(date.day()),
                  clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  const auto us = clock.subseconds().count();
  if (us == 0) return head + "Z";
  if (us % 1000 == 0) return fmt::format("{}.{:03}Z", head, us / 1000);
  return fmt::format("{}.{:06}Z", head, us);
}

std::string format_duration(microseconds duration) {
  const double s = duration.count() / 1e6;
  const double size = std::abs(s);
  if (size < 1e-3) return fmt::format("{} us", duration.count());
  if (size < 1) return fmt::format("{:.3g} ms", s * 1e3);
  if (size < 120) return fmt::format("{:.3g} s", s);
  if (size < 7200) return fmt::format("{:.0f} min", s / 60);
  if (size < 172800) return fmt::format("{:.0f} h", s / 3600);
  return fmt::format("{:.0f} d", s / 86400);
}

}  // namespace wattd
