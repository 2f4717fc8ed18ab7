#pragma once
#include <json/value.h>

#include <string>

#include "telemetry/rule.h"

namespace wattd::rules {

/// A rule in the words of the seed's API, and the words of [[rules]] for what that lacks.
Json::Value to_json(const Rule& rule);
/// The other way; what only the gateway says of a rule is left out of account.
/// Errors: throws config::ConfigError, with the key and what was expected.
Rule rule_from(const Json::Value& json);

/// An alert as the API and messages to machines have it.
Json::Value to_json(const Alert& alert);

/// A rule as it would stand in a file: a [[rules]] table.
std::string to_toml(const Rule& rule);

}  // namespace wattd::rules
