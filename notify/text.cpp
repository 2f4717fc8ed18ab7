#include "notify/text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace wattd::notify {
namespace {

using Templates = std::map<std::string, std::string, std::less<>>;

const Templates& english() {
  static const Templates texts{
      {"subject", "[{severity}] {rule}: {device} {event}"},
      {"raised", "{message}\nSeverity {severity}, since {time}. Gateway {gateway}."},
      {"escalated",
       "Nobody has acknowledged this for {duration}: {message}\nSeverity {severity}, since {time}. Gateway {gateway}."},
      {"resolved", "Resolved after {duration}: {message}\nSeen {count} times, last value {value}. Gateway {gateway}."},
      {"group", "{total} changes of alerts on gateway {gateway}:"},
      {"more", "... and {total} more"},
      {"event.raised", "raised"},
      {"event.escalated", "escalated"},
      {"event.resolved", "resolved"},
      {"severity.low", "low"},
      {"severity.medium", "medium"},
      {"severity.high", "high"},
      {"severity.critical", "critical"}};
  return texts;
}

const Templates& german() {
  static const Templates texts{
      {"subject", "[{severity}] {rule}: {device} {event}"},
      {"raised", "{message}\nSchwere {severity}, seit {time}. Gateway {gateway}."},
      {"escalated",
       "Seit {duration} hat das niemand bestätigt: {message}\nSchwere {severity}, seit {time}. Gateway {gateway}."},
      {"resolved", "Nach {duration} vorbei: {message}\n{count}-mal gesehen, letzter Wert {value}. Gateway {gateway}."},
      {"group", "{total} Änderungen von Alarmen auf Gateway {gateway}:"},
      {"more", "... und {total} weitere"},
      {"event.raised", "ausgelöst"},
      {"event.escalated", "eskaliert"},
      {"event.resolved", "vorbei"},
      {"severity.low", "niedrig"},
      {"severity.medium", "mittel"},
      {"severity.high", "hoch"},
      {"severity.critical", "kritisch"}};
  return texts;
}

constexpr std::array kOwn{"subject", "raised", "escalated", "resolved", "group"};
constexpr std::array kWords{"rule", "device",   "severity", "message",  "value", "threshold", "count",
                            "time", "duration", "gateway",  "alert_id", "event", "total"};

const std::string& template_of(const Texts& texts, const std::string& name) {
  if (const auto own = texts.templates.find(name); own != texts.templates.end()) return own->second;
  return (texts.language == "de" ? german() : english()).find(name)->second;
}

/// Puts what `meaning` says in place of each word in braces; braces around anything else stay.
template <class Meaning>
std::string filled(std::string_view text, Meaning meaning) {
  std::string out;
  while (!text.empty()) {
    const auto open = text.find('{');
    out += text.substr(0, open);
    if (open == std::string_view::npos) break;
    const auto close = text.find('}', open);
    if (close == std::string_view::npos) return out += text.substr(open);
    out += meaning(text.substr(open + 1, close - open - 1));
    text.remove_prefix(close + 1);
  }
  return out;
}

std::string shown(double value) { return fmt::format("{:.6g}", value); }

std::string local_time(const Calendar& calendar, Timestamp at) {
  const auto wall = calendar.wall_at(at);
  return fmt::format("{} {:02}:{:02}", calendar.date_of(at), wall.minute / 60, wall.minute % 60);
}

std::string say(const Told& told, const std::string& name, const Texts& texts, const Calendar& calendar,
                const std::string& gateway) {
  const auto& alert = told.alert;
  const auto until = alert.resolved_at.value_or(alert.escalated_at.value_or(alert.last_seen_at));
  return filled(template_of(texts, name), [&](std::string_view word) -> std::string {
    if (word == "rule") return told.rule;
    if (word == "device") return alert.device_id;
    if (word == "severity") return template_of(texts, "severity." + std::string(to_string(alert.severity)));
    if (word == "message") return alert.message;
    if (word == "value") return shown(alert.last_value);
    if (word == "threshold") return shown(alert.threshold_value);
    if (word == "count") return fmt::format("{}", alert.count);
    if (word == "time") return local_time(calendar, alert.created_at);
    if (word == "duration")
      return format_duration(
          std::max(std::chrono::floor<std::chrono::seconds>(until - alert.created_at), std::chrono::seconds{1}));
    if (word == "gateway") return gateway;
    if (word == "alert_id") return alert.id;
    if (word == "event") return template_of(texts, "event." + told.event);
    return "{" + std::string(word) + "}";
  });
}

std::string total_of(const Texts& texts, const char* name, std::size_t total, const std::string& gateway) {
  return filled(template_of(texts, name), [&](std::string_view word) -> std::string {
    if (word == "total") return fmt::format("{}", total);
    return word == "gateway" ? gateway : "{" + std::string(word) + "}";
  });
}

}  // namespace

Texts parse_texts(const config::Table& channel) {
  Texts texts;
  texts.language = channel.choice<const char*>("language", {{"en", "en"}, {"de", "de"}}, "en");
  const auto own = channel.table("templates");
  for (const auto* name : kOwn) {
    if (!own.has(name)) continue;
    const auto text = own.text(name);
    if (text.empty() || text.size() > 4000) own.fail(name, "expected 1 to 4000 bytes");
    filled(text, [&](std::string_view word) -> std::string {
      if (std::ranges::find(kWords, word) == kWords.end())
        own.fail(name, fmt::format("expected one of {} in braces, not {{{}}}", fmt::join(kWords, ", "), word));
      return {};
    });
    texts.templates[name] = text;
  }
  own.reject_unknown_keys();
  return texts;
}

void compose(Letter& letter, const Texts& texts, const Calendar& calendar, const std::string& gateway,
             std::size_t longest) {
  if (letter.told.size() == 1) {
    const auto& told = letter.told.front();
    letter.subject = say(told, "subject", texts, calendar, gateway);
    letter.text = say(told, told.event, texts, calendar, gateway);
    if (letter.text.size() > longest) letter.text.resize(longest);
    return;
  }
  letter.subject = letter.text = total_of(texts, "group", letter.told.size(), gateway);
  std::size_t shown_of_them = 0;
  for (const auto& told : letter.told) {
    auto line = fmt::format("\n- {} {}: {}", local_time(calendar, told.alert.created_at),
                            template_of(texts, "event." + told.event), told.alert.message);
    // Room is left for the last line.
    if (letter.text.size() + line.size() + 40 > longest) break;
    letter.text += line;
    ++shown_of_them;
  }
  if (shown_of_them < letter.told.size())
    letter.text += "\n" + total_of(texts, "more", letter.told.size() - shown_of_them, gateway);
}

}  // namespace wattd::notify
