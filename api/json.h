#pragma once
#include <json/value.h>

#include <string>

#include "api/gateway.h"
#include "pipeline/pipeline.h"
#include "storage/reader.h"

namespace wattd::api {

/// One line of JSON.
std::string write(const Json::Value& value);
/// The seed's success envelope: {"success":true,"data":…}.
std::string envelope(Json::Value data);
/// The same around a list of which this is a page.
std::string page_envelope(Json::Value items, std::size_t total, std::size_t page, std::size_t page_size);

Json::Value to_json(const pipeline::DeviceActivity& activity);
Json::Value to_json(const Alert& alert);
Json::Value to_json(const Rule& rule);
Json::Value to_json(const storage::StoredDeadLetter& letter, bool with_payload);
Json::Value to_json(const Overview& overview, const pipeline::Pipeline& pipeline, Timestamp now);

}  // namespace wattd::api
