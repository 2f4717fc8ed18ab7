#pragma once
#include <string>
#include <vector>

#include "telemetry/delivery.h"
#include "telemetry/rule.h"

namespace wattd::notify {

/// One change of an alert, as somebody is told of it.
struct Told {
  Alert alert;
  std::string rule;   ///< Its rule's name.
  std::string event;  ///< raised, escalated or resolved.
};

/// What one recipient gets at once: one change of an alert, or several that came close together.
struct Letter {
  std::string id;  ///< The same however often it is tried.
  std::string recipient;
  std::string subject;
  std::string text;
  std::vector<Told> told;  ///< At least one, except in a test.
};

/// What came of a try.
struct Outcome {
  enum class Kind {
    sent,
    retry,    ///< Not now: nobody there, too much, a wrong password.
    refused,  ///< This will never be taken.
    bounced,  ///< This recipient will never be reached.
  };
  Kind kind = Kind::sent;
  std::string response;                       ///< What the provider said.
  std::optional<std::chrono::seconds> after;  ///< How long it wants to be left alone.
};

}  // namespace wattd::notify
