#pragma once
#include <json/value.h>

#include <string>
#include <vector>

#include "telemetry/time.h"

namespace wattd::api {

// What stands in a request's path and body. Errors of each: throws BadParameter.

/// The pieces of the path after the prefix, e.g. {"D1"} of /api/v1/devices/D1.
std::vector<std::string> rest_of(const std::string& path, std::string_view prefix);
bool is_under(const std::string& path, std::string_view prefix);

/// The object in a body; null when there is none.
Json::Value object_in(const std::string& body);
/// Who acknowledges, from `{"acknowledged_by": "who"}`.
std::string name_in(const std::string& body);
int whole_in(const Json::Value& json, const char* name, int least, int most);
std::vector<std::string> texts_in(const Json::Value& json, const char* name);
Timestamp time_in(const Json::Value& json, const char* name, Timestamp fallback);

}  // namespace wattd::api
