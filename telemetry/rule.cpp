#include "telemetry/rule.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace wattd {
namespace {

constexpr std::array<std::string_view, 4> kSeverity{"low", "medium", "high", "critical"};
constexpr std::array<std::string_view, 6> kComparison{">", "<", ">=", "<=", "=", "!="};
constexpr std::array<std::string_view, 3> kRuleStatus{"active", "paused", "archived"};
constexpr std::array<std::string_view, 4> kScope{"all_devices", "selected_devices", "building", "device_type"};
constexpr std::array<std::string_view, 11> kKind{"threshold", "average",         "minimum",  "maximum",
                                                 "sum",       "count",           "rate",     "no_data",
                                                 "energy",    "demand_forecast", "deviation"};
constexpr std::array<std::string_view, 4> kAlertStatus{"open", "acknowledged", "resolved", "suppressed"};
constexpr std::array<std::string_view, 7> kDays{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

template <class Enum, std::size_t N>
std::string_view name_of(const std::array<std::string_view, N>& names, Enum value) {
  return names[static_cast<std::size_t>(value)];
}

template <class Enum, std::size_t N>
std::optional<Enum> named(const std::array<std::string_view, N>& names, std::string_view text) {
  const auto found = std::ranges::find(names, text);
  if (found == names.end()) return std::nullopt;
  return static_cast<Enum>(found - names.begin());
}

/// `07:30` in minutes; 24:00 is midnight's end.
std::optional<int> minute_from(std::string_view text) {
  int hour = 0, minute = 0;
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  for (const auto& [part, number] : {std::pair(text.substr(0, 2), &hour), std::pair(text.substr(3), &minute)}) {
    const auto [end, problem] = std::from_chars(part.data(), part.data() + 2, *number);
    if (problem != std::errc{} || end != part.data() + 2) return std::nullopt;
  }
  const int total = hour * 60 + minute;
  return hour < 0 || minute < 0 || minute > 59 || total > 24 * 60 ? std::nullopt : std::optional(total);
}

/// `Mon-Fri` or `Sat,Sun` as bits.
std::optional<unsigned> days_from(std::string_view text) {
  unsigned days = 0;
  while (!text.empty()) {
    const auto part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    const auto dash = part.find('-');
    const auto first = named<int>(kDays, part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : named<int>(kDays, part.substr(dash + 1));
    if (!first || !last) return std::nullopt;
    for (int day = *first;; day = (day + 1) % 7) {
      days |= 1u << day;
      if (day == *last) break;
    }
  }
  return days == 0 ? std::nullopt : std::optional(days);
}

}  // namespace

std::string_view to_string(Severity severity) { return name_of(kSeverity, severity); }
std::string_view to_string(Comparison comparison) { return name_of(kComparison, comparison); }
std::string_view to_string(RuleStatus status) { return name_of(kRuleStatus, status); }
std::string_view to_string(RuleScope scope) { return name_of(kScope, scope); }
std::string_view to_string(ConditionKind kind) { return name_of(kKind, kind); }
std::string_view to_string(AlertStatus status) { return name_of(kAlertStatus, status); }

std::optional<Severity> severity_from(std::string_view text) { return named<Severity>(kSeverity, text); }
std::optional<Comparison> comparison_from(std::string_view text) { return named<Comparison>(kComparison, text); }
std::optional<RuleStatus> rule_status_from(std::string_view text) { return named<RuleStatus>(kRuleStatus, text); }
std::optional<RuleScope> rule_scope_from(std::string_view text) { return named<RuleScope>(kScope, text); }
std::optional<ConditionKind> condition_kind_from(std::string_view text) { return named<ConditionKind>(kKind, text); }
std::optional<AlertStatus> alert_status_from(std::string_view text) { return named<AlertStatus>(kAlertStatus, text); }

bool holds(double actual, Comparison comparison, double threshold) {
  switch (comparison) {
    case Comparison::greater: return actual > threshold;
    case Comparison::less: return actual < threshold;
    case Comparison::greater_or_equal: return actual >= threshold;
    case Comparison::less_or_equal: return actual <= threshold;
    case Comparison::equal: return actual == threshold;
    case Comparison::not_equal: return actual != threshold;
  }
  return false;
}

bool Hours::hold(int weekday, int minute) const {
  const auto is_day = [this](int day) { return (days >> ((day + 7) % 7) & 1u) != 0; };
  if (from < to) return is_day(weekday) && minute >= from && minute < to;
  return (is_day(weekday) && minute >= from) || (is_day(weekday - 1) && minute < to);
}

std::optional<Hours> hours_from(std::string_view text) {
  Hours hours;
  auto times = text;
  if (!text.empty() && (text.front() < '0' || text.front() > '9')) {
    const auto end = std::min(text.find(' '), text.size());
    const auto days = days_from(text.substr(0, end));
    if (!days) return std::nullopt;
    hours.days = *days;
    times = text.substr(std::min(end + 1, text.size()));
    if (times.empty()) return end == text.size() ? std::optional(hours) : std::nullopt;
  }
  if (times.size() != 11 || times[5] != '-') return std::nullopt;
  const auto from = minute_from(times.substr(0, 5)), to = minute_from(times.substr(6));
  if (!from || !to || *from == *to || *from == 24 * 60) return std::nullopt;
  hours.from = *from, hours.to = *to;
  return hours;
}

std::string to_string(const Hours& hours) {
  std::string text;
  if (hours.days != 0x7f) {
    for (std::size_t day = 0; day < kDays.size(); ++day) {
      if ((hours.days >> day & 1u) != 0) text += fmt::format("{}{}", text.empty() ? "" : ",", kDays[day]);
    }
    text += ' ';
  }
  return text + fmt::format("{:02}:{:02}-{:02}:{:02}", hours.from / 60, hours.from % 60, hours.to / 60, hours.to % 60);
}

bool Silence::covers(const std::string& rule_id, const std::string& device_id, Timestamp at) const {
  const auto among = [](const std::vector<std::string>& ids, const std::string& one) {
    return ids.empty() || std::ranges::find(ids, one) != ids.end();
  };
  return at >= from && at < to && among(rule_ids, rule_id) && among(device_ids, device_id);
}

}  // namespace wattd
