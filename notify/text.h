#pragma once
#include <map>
#include <string>
#include <vector>

#include "config/table.h"
#include "notify/letter.h"
#include "telemetry/calendar.h"

namespace wattd::notify {

/// What messages say: by event (`raised`, `escalated`, `resolved`), beside `subject` and `group`, which heads several.
/// A word in braces stands for what is known of the alert: {rule}, {device}, {severity}, {message}, {value},
/// {threshold}, {count}, {time}, {duration}, {gateway}, {alert_id}, and in `group` {total}.
struct Texts {
  std::string language = "en";
  std::map<std::string, std::string> templates;  ///< Those that differ from the language's own.
  bool operator==(const Texts&) const = default;
};

/// Reads `language` and [channels.templates] of a channel. Errors: throws config::ConfigError.
Texts parse_texts(const config::Table& channel);

/// Fills in subject and text.
/// Shape: at most `longest` bytes of text, cut between alerts, with how many are not shown.
void compose(Letter& letter, const Texts& texts, const Calendar& calendar, const std::string& gateway,
             std::size_t longest);

}  // namespace wattd::notify
