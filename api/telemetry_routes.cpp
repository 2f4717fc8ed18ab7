// What the API answers about stored readings: as they are, by buckets, as statistics and as demand.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "api/json.h"
#include "api/parameters.h"
#include "api/routes.h"
#include "telemetry/json_text.h"

namespace wattd::api {

using namespace std::chrono_literals;

Response Routes::telemetry(const Request& request, const std::string& device_id) {
  const auto now = clock_.now();
  const TimeRange range{time_of(request, "start_time", now - 1h), time_of(request, "end_time", now + 1s)};
  const auto limit = number_of(request, "limit", 1000, 10'000);
  const auto fields = list_of(request, "fields");
  if (!text_of(request, "aggregate").empty()) return aggregated(request, device_id, fields, range, limit);
  if (!knows(device_id)) return not_found("device " + device_id);
  const auto readings = reader_.readings(device_id, fields, range, limit);
  if (!readings) return storage_error(readings.error());
  std::string body = R"({"success":true,"data":{"items":[)";
  for (const auto& reading : *readings) {
    const auto version = reader_.device_version(device_id, reading.device_version);
    if (!version) return storage_error(version.error());
    if (body.back() == '}') body += ',';
    std::string members = ",\"schema_version\":";
    append_json(members, std::string_view(version->schema_version));
    members += ",\"enrichment_status\":";
    append_json(members, std::string_view(version->enrichment_status));
    body += to_json(reading, members);
  }
  return ok(body + "]}}");
}

Response Routes::aggregated(const Request& request, const std::string& device_id,
                            const std::vector<std::string>& fields, TimeRange range, std::size_t limit) {
  const auto aggregate = storage::aggregate_from(text_of(request, "aggregate"));
  if (!aggregate)
    throw BadParameter{"aggregate is unknown; expected one of mean, min, max, sum, count, first, last, energy"};
  const auto interval = interval_of(request);
  auto wanted = fields;
  if (wanted.empty()) {
    const auto all = reader_.series_of(device_id);
    if (!all) return storage_error(all.error());
    for (const auto& series : *all) wanted.push_back(series.field);
  }
  std::map<Timestamp, Reading> rows;
  for (const auto& field : wanted) {
    const auto buckets = reader_.aggregate({device_id, field}, range, interval, limit);
    if (!buckets) return storage_error(buckets.error());
    for (const auto& bucket : *buckets) {
      const auto value = storage::value_of(bucket, *aggregate);
      if (!value) continue;
      auto& row = rows[bucket.start];
      row.device_id = device_id;
      row.at = bucket.start;
      row.quality |= bucket.quality;
      row.fields.push_back({field, *value});
    }
  }
  std::string body = R"({"success":true,"data":{"items":[)";
  for (const auto& [at, row] : rows) {
    if (body.back() == '}') body += ',';
    body += to_json(row);
  }
  return ok(body + "]}}");
}

Response Routes::latest(const std::string& device_id) {
  if (!knows(device_id)) return not_found("device " + device_id);
  const auto newest = reader_.latest(device_id);
  if (!newest) return storage_error(newest.error());
  Json::Value data;
  data["device_id"] = device_id;
  data["series"] = Json::arrayValue;
  for (const auto& [series, sample] : *newest) {
    Json::Value one = to_json(series);
    one["timestamp"] = format_iso8601(sample.at);
    one["value"] = to_json(sample.value);
    one["quality"] = to_string(sample.quality);
    data["series"].append(one);
  }
  return ok(envelope(data));
}

/// Fixed blocks and sliding windows of a meter, a virtual meter or a building, with the peaks of days and months.
Response Routes::demand(const Request& request, const std::string& meter, bool building) {
  std::vector<Device> devices;
  for (const auto& entry : pipeline_.registry().activity(clock_.monotonic())) devices.push_back(entry.device);
  const auto terms = building ? terms_of_building(meter, devices) : terms_of(meter, devices);
  if (!terms) return error_response(404, "NOT_FOUND", terms.error().message);
  const auto now = clock_.now();
  TimeRange range{time_of(request, "start_time", now - 24h), time_of(request, "end_time", now)};
  if (range.to - range.from > 24h * 400 || range.from >= range.to)
    throw BadParameter{"start_time and end_time are not a range of at most 400 days"};
  auto field = text_of(request, "field");
  if (field.empty()) field = "energy_import_total";
  const auto& calendar = reader_.calendar();
  range = {calendar.quarter_of(range.from).from, calendar.quarter_of(range.to).from};
  constexpr std::array kLengths{std::chrono::minutes{15}, std::chrono::minutes{5}};
  const auto blocks = reader_.energy_blocks(*terms, field, range, kLengths);
  if (!blocks) return storage_error(blocks.error());
  return ok(envelope(to_json(*terms, field, (*blocks)[0], slide((*blocks)[1], 3), calendar)));
}

Response Routes::statistics(const Request& request, const std::string& device_id) {
  if (!knows(device_id)) return not_found("device " + device_id);
  const auto now = clock_.now();
  const TimeRange range{time_of(request, "start_time", now - 24h), time_of(request, "end_time", now + 1s)};
  const auto wanted = list_of(request, "fields");
  const auto all = reader_.series_of(device_id);
  if (!all) return storage_error(all.error());
  Json::Value data;
  data["device_id"] = device_id;
  data["start_time"] = format_iso8601(range.from);
  data["end_time"] = format_iso8601(range.to);
  data["series"] = Json::arrayValue;
  std::int64_t points = 0;
  for (const auto& series : *all) {
    if (!wanted.empty() && std::ranges::find(wanted, series.field) == wanted.end()) continue;
    const auto whole = reader_.aggregate({device_id, series.field}, range, storage::Step::whole(), 1);
    if (!whole) return storage_error(whole.error());
    if (whole->empty()) continue;
    Json::Value one = to_json(series);
    add_statistics(one, whole->front());
    data["series"].append(one);
    points = std::max(points, whole->front().count);
    if (whole->front().count == 0) continue;
    for (const auto& [suffix, from] : {std::pair{"_min", "min"}, {"_max", "max"}, {"_avg", "mean"}})
      data[series.field + suffix] = one[from];
    if (series.field == "power") data["power_total"] = one["sum"];
  }
  data["data_points"] = Json::Int64(points);
  return ok(envelope(data));
}

Response Routes::sample_count(const Request& request) {
  const auto count = reader_.count_samples(
      {time_of(request, "start_time", Timestamp{}), time_of(request, "end_time", clock_.now() + 24h)});
  if (!count) return storage_error(count.error());
  Json::Value json;
  json["samples"] = Json::UInt64(*count);
  return ok(envelope(json));
}

}  // namespace wattd::api
