#include "api/diagnostics.h"

#include <json/writer.h>

#include "api/json.h"
#include "api/metrics.h"
#include "rules/json.h"
#include "telemetry/log.h"

namespace wattd::api {
namespace {

constexpr std::size_t kDevices = 1000, kAlerts = 200, kLetters = 50;

}  // namespace

std::string diagnostics_of(const Overview& overview, const pipeline::Pipeline& pipeline, storage::Reader& reader,
                           const Clock& clock) {
  Json::Value json;
  json["at"] = format_iso8601(clock.now());
  json["status"] = to_json(overview, pipeline, clock.now());
  json["metrics"] = metrics_text(overview, pipeline, clock);
  json["devices"] = json["alerts"] = json["dead_letters"] = json["log"] = Json::arrayValue;
  for (const auto& activity : pipeline.registry().activity(clock.monotonic())) {
    if (json["devices"].size() < kDevices) json["devices"].append(to_json(activity));
  }
  if (const auto alerts = reader.alerts("", "", kAlerts)) {
    for (const auto& alert : *alerts) json["alerts"].append(rules::to_json(alert));
  }
  if (const auto letters = reader.dead_letters(kLetters, INT64_MAX)) {
    for (const auto& letter : *letters) json["dead_letters"].append(to_json(letter, false));
  }
  for (const auto& line : log::recent()) json["log"].append(line);
  Json::StreamWriterBuilder builder;
  builder["indentation"] = "";
  return Json::writeString(builder, json);
}

}  // namespace wattd::api
