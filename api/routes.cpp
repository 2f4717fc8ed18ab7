#include "api/routes.h"

#include <fmt/format.h>
#include <json/reader.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "api/json.h"
#include "api/metrics.h"
#include "api/page.h"
#include "telemetry/json_text.h"
#include "telemetry/version.h"

namespace wattd::api {
namespace {

using namespace std::chrono_literals;
using storage::TimeRange;

constexpr auto kPatience = 5s;  // for a change to reach the disk

/// A parameter that is not as it should be; becomes a 400.
struct BadParameter {
  std::string message;
};

std::string text_of(const Request& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::string{} : found->second;
}

std::size_t number_of(const Request& request, const std::string& name, std::size_t fallback, std::size_t max) {
  const auto text = text_of(request, name);
  if (text.empty()) return fallback;
  std::size_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem == std::errc{} && end == text.data() + text.size() && value >= 1 && value <= max) return value;
  throw BadParameter{fmt::format("{} is {:?}; expected a number from 1 to {}", name, text, max)};
}

Timestamp time_of(const Request& request, const std::string& name, Timestamp fallback) {
  const auto text = text_of(request, name);
  if (text.empty()) return fallback;
  if (const auto at = parse_iso8601(text)) return *at;
  throw BadParameter{fmt::format("{} is {:?}; expected RFC 3339 such as 2026-02-07T11:26:00Z", name, text)};
}

std::chrono::microseconds interval_of(const Request& request) {
  const auto text = text_of(request, "interval");
  if (text.empty()) return 1h;
  std::int64_t count = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string unit(end, text.data() + text.size());
  const std::map<std::string, std::chrono::microseconds> units{
      {"s", 1s}, {"m", 1min}, {"min", 1min}, {"h", 1h}, {"d", 24h}};
  const auto known = units.find(unit);
  if (problem == std::errc{} && count >= 1 && count <= 100'000 && known != units.end()) return known->second * count;
  throw BadParameter{fmt::format("interval is {:?}; expected a number and s, m, h or d, as in 5m", text)};
}

std::vector<std::string> list_of(const Request& request, const std::string& name) {
  std::vector<std::string> items;
  std::string_view rest = request.query.contains(name) ? std::string_view(request.query.at(name)) : std::string_view{};
  while (!rest.empty()) {
    const auto item = rest.substr(0, rest.find(','));
    if (!item.empty()) items.emplace_back(item);
    rest.remove_prefix(std::min(item.size() + 1, rest.size()));
  }
  return items;
}

std::optional<std::int64_t> id_from(const std::string& text) {
  std::int64_t id = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return id;
}

/// The pieces of the path after the prefix, e.g. {"D1"} of /api/v1/devices/D1.
std::vector<std::string> rest_of(const std::string& path, std::string_view prefix) {
  std::vector<std::string> parts;
  std::string_view rest(path);
  rest.remove_prefix(prefix.size());
  while (rest.starts_with('/')) {
    rest.remove_prefix(1);
    const auto part = rest.substr(0, rest.find('/'));
    if (!part.empty()) parts.emplace_back(part);
    rest.remove_prefix(part.size());
  }
  return parts;
}

bool is_under(const std::string& path, std::string_view prefix) {
  return path == prefix || (path.starts_with(prefix) && path[prefix.size()] == '/');
}

/// Who acknowledges, from `{"acknowledged_by": "who"}`.
std::string name_in(const std::string& body) {
  Json::CharReaderBuilder strict;
  Json::CharReaderBuilder::strictMode(&strict.settings_);
  const std::unique_ptr<Json::CharReader> parser(strict.newCharReader());
  Json::Value json;
  std::string problem;
  const bool valid = parser->parse(body.data(), body.data() + body.size(), &json, &problem);
  if (!valid || !json.isObject() || !json["acknowledged_by"].isString() || json["acknowledged_by"].asString().empty()) {
    throw BadParameter{"the body is not {\"acknowledged_by\": \"who\"}"};
  }
  return json["acknowledged_by"].asString();
}

Response not_found(const std::string& what) { return error_response(404, "NOT_FOUND", what + " does not exist"); }

Response storage_error(const Error& error) {
  return error_response(503, "STORAGE_ERROR", error.message + "; try again, and see wattctl doctor");
}

Response ok(std::string body) { return {.body = std::move(body)}; }

}  // namespace

Routes::Routes(const Gateway& gateway, pipeline::Pipeline& pipeline, const std::string& database, const Clock& clock)
    : gateway_(gateway), pipeline_(pipeline), reader_(database), clock_(clock) {}

Response Routes::answer(const Request& request) try {
  const auto& path = request.path;
  const bool get = request.method == "GET";
  if (!get && !request.trusted) {
    return error_response(403, "FORBIDDEN",
                          "changes are taken by the unix socket only, until users and TLS are set up; use wattctl");
  }
  if (get && path == "/") return {.body = std::string(status_page()), .content_type = "text/html; charset=utf-8"};
  if (get && path == "/health") return ok(fmt::format(R"({{"status":"healthy","version":"{}"}})", kVersion));
  if (get && path == "/ready") return ready();
  if (get && path == "/metrics")
    return {.body = metrics_text(gateway_.overview(), pipeline_), .content_type = "text/plain; version=0.0.4"};
  if (get && path == "/api/v1/status") return status();
  if (get && path == "/api/v1/stream") return {.streams = true, .only_device = text_of(request, "device_id")};
  if (get && path == "/api/v1/rules") return rules();
  if (get && path == "/api/v1/storage/samples") return sample_count(request);
  if (is_under(path, "/api/v1/devices")) {
    const auto rest = rest_of(path, "/api/v1/devices");
    if (get && rest.empty()) return devices(request);
    if (get && rest.size() == 1) return device(rest[0]);
  }
  if (get && is_under(path, "/api/v1/data/telemetry")) {
    const auto rest = rest_of(path, "/api/v1/data/telemetry");
    if (rest.size() == 1) return telemetry(request, rest[0]);
  }
  if (is_under(path, "/api/v1/alerts")) {
    const auto rest = rest_of(path, "/api/v1/alerts");
    if (get && rest.empty()) return alerts(request);
    if (request.method == "PATCH" && rest.size() == 2) return change_alert(request, rest[0], rest[1]);
  }
  if (is_under(path, "/api/v1/dead-letters")) {
    const auto rest = rest_of(path, "/api/v1/dead-letters");
    if (get && rest.empty()) return dead_letters(request);
    const auto id = rest.empty() ? std::nullopt : id_from(rest[0]);
    if (id && get && rest.size() == 1) return dead_letter(*id);
    if (id && request.method == "POST" && rest.size() == 2 && rest[1] == "replay") return replay(*id);
  }
  return error_response(404, "NOT_FOUND", fmt::format("{} {} is not part of this API", request.method, path));
} catch (const BadParameter& problem) {
  return error_response(400, "VALIDATION_ERROR", problem.message);
}

Response Routes::ready() const {
  const auto problem = pipeline_.commit_problem();
  const bool alive = pipeline_.progress().silence() < 10s;
  Json::Value json;
  json["ready"] = problem.empty() && alive;
  json["checks"]["database"] = problem.empty() ? "connected" : problem;
  json["checks"]["pipeline"] = alive ? "running" : "stalled";
  for (const auto& connection : gateway_.overview().connections) {
    json["checks"]["mqtt:" + connection.id] = connection.connected ? "connected" : connection.last_error;
  }
  return {.status = problem.empty() && alive ? 200u : 503u, .body = write(json)};
}

Response Routes::status() const { return ok(envelope(to_json(gateway_.overview(), pipeline_, clock_.now()))); }

Response Routes::devices(const Request& request) const {
  const auto page = number_of(request, "page", 1, 1'000'000);
  const auto size = number_of(request, "page_size", 20, 100);
  const auto tenant = text_of(request, "tenant_id");
  const auto type = text_of(request, "device_type");
  const auto status = text_of(request, "status");
  Json::Value items(Json::arrayValue);
  std::size_t total = 0;
  for (const auto& entry : pipeline_.registry().activity()) {
    const auto& device = entry.device;
    if (device.deleted_at || (!tenant.empty() && device.tenant != tenant) || (!type.empty() && device.type != type) ||
        (!status.empty() && to_string(device.status) != status)) {
      continue;
    }
    if (total >= (page - 1) * size && total < page * size) items.append(to_json(entry));
    ++total;
  }
  return ok(page_envelope(items, total, page, size));
}

Response Routes::device(const std::string& id) {
  const auto known = pipeline_.registry().activity();
  const auto entry = std::ranges::find(known, id, [](const auto& activity) { return activity.device.id; });
  if (entry == known.end() || entry->device.deleted_at) return not_found("device " + id);
  const auto series = reader_.series_of(id);
  if (!series) return storage_error(series.error());
  auto json = to_json(*entry);
  json["series"] = Json::arrayValue;
  for (const auto& [field, measurand, unit] : *series) {
    Json::Value one;
    one["field"] = field;
    one["measurand"] = measurand.empty() ? Json::Value() : Json::Value(measurand);
    one["unit"] = unit.empty() ? Json::Value() : Json::Value(unit);
    json["series"].append(one);
  }
  return ok(envelope(json));
}

bool Routes::knows(const std::string& id) const {
  return std::ranges::any_of(pipeline_.registry().activity(), [&](const auto& entry) { return entry.device.id == id; });
}

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
  if (!aggregate) throw BadParameter{"aggregate is unknown; expected one of mean, min, max, sum, count, first, last"};
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
      auto& row = rows[bucket.start];
      row.device_id = device_id;
      row.at = bucket.start;
      row.fields.push_back({field, storage::value_of(bucket, *aggregate)});
    }
  }
  std::string body = R"({"success":true,"data":{"items":[)";
  for (const auto& [at, row] : rows) {
    if (body.back() == '}') body += ',';
    body += to_json(row);
  }
  return ok(body + "]}}");
}

Response Routes::sample_count(const Request& request) {
  const auto count = reader_.count_samples(
      {time_of(request, "start_time", Timestamp{}), time_of(request, "end_time", clock_.now() + 24h)});
  if (!count) return storage_error(count.error());
  Json::Value json;
  json["samples"] = Json::UInt64(*count);
  return ok(envelope(json));
}

Response Routes::alerts(const Request& request) {
  const auto status = text_of(request, "status");
  if (!status.empty() && !alert_status_from(status)) {
    throw BadParameter{fmt::format("status is {:?}; expected one of open, acknowledged, resolved, suppressed", status)};
  }
  const auto page = number_of(request, "page", 1, 100'000);
  const auto size = number_of(request, "page_size", 20, 1000);
  const auto found = reader_.alerts(status, text_of(request, "device_id"), 100'000);
  if (!found) return storage_error(found.error());
  Json::Value items(Json::arrayValue);
  for (std::size_t i = (page - 1) * size; i < std::min(found->size(), page * size); ++i)
    items.append(to_json((*found)[i]));
  return ok(page_envelope(items, found->size(), page, size));
}

Response Routes::change_alert(const Request& request, const std::string& id, const std::string& verb) {
  if (verb != "acknowledge" && verb != "resolve") return not_found("the action " + verb);
  const auto all = reader_.alerts("", "", 100'000);
  if (!all) return storage_error(all.error());
  const auto found = std::ranges::find(*all, id, &Alert::id);
  if (found == all->end()) return not_found("alert " + id);
  if (found->status == AlertStatus::resolved) return error_response(409, "CONFLICT", "the alert is resolved already");
  std::function<void(Alert&)> change;
  if (verb == "acknowledge") {
    change = [who = name_in(request.body), at = clock_.now()](Alert& alert) {
      alert.status = AlertStatus::acknowledged;
      alert.acknowledged_by = who;
      alert.acknowledged_at = at;
    };
  } else {
    change = [at = clock_.now()](Alert& alert) {
      alert.status = AlertStatus::resolved;
      alert.resolved_at = at;
    };
  }
  auto outcome = std::make_shared<Result<Alert>>();
  const bool done =
      pipeline_.change_and_wait([alert = *found, change, outcome](
                                    pipeline::Pipeline& pipeline) { *outcome = pipeline.change_alert(alert, change); },
                                kPatience);
  if (!done) return error_response(503, "BUSY", "the change was not written in time; look again before repeating it");
  if (!*outcome) return storage_error(outcome->error());
  return ok(envelope(to_json(**outcome)));
}

Response Routes::rules() const {
  auto found = std::make_shared<std::vector<Rule>>();
  if (!pipeline_.change_and_wait([found](pipeline::Pipeline& pipeline) { *found = pipeline.store().rules(); },
                                 kPatience)) {
    return error_response(503, "BUSY", "the gateway is busy; try again");
  }
  Json::Value items(Json::arrayValue);
  for (const auto& rule : *found) items.append(to_json(rule));
  return ok(page_envelope(items, found->size(), 1, std::max<std::size_t>(found->size(), 1)));
}

Response Routes::dead_letters(const Request& request) {
  const auto limit = number_of(request, "limit", 50, 1000);
  const auto before = number_of(request, "before", INT64_MAX, INT64_MAX);
  const auto letters = reader_.dead_letters(limit, static_cast<std::int64_t>(before));
  if (!letters) return storage_error(letters.error());
  Json::Value items(Json::arrayValue);
  for (const auto& letter : *letters) items.append(to_json(letter, false));
  Json::Value data;
  data["items"] = items;
  data["total"] = Json::Int64(gateway_.overview().usage.dead_letters);
  return ok(envelope(data));
}

Response Routes::dead_letter(std::int64_t id) {
  const auto letter = reader_.dead_letter(id);
  if (!letter) return storage_error(letter.error());
  if (!*letter) return not_found(fmt::format("dead letter {}", id));
  return ok(envelope(to_json(**letter, true)));
}

Response Routes::replay(std::int64_t id) {
  const auto letter = reader_.dead_letter(id);
  if (!letter) return storage_error(letter.error());
  if (!*letter) return not_found(fmt::format("dead letter {}", id));
  if ((*letter)->replayed_at) return error_response(409, "CONFLICT", "this dead letter was replayed already");
  const auto ticket = pipeline_.replay(id, (*letter)->letter.message);
  if (!pipeline_.commit_through(ticket, std::chrono::duration_cast<std::chrono::milliseconds>(kPatience))) {
    return error_response(503, "BUSY", "the replay was not committed in time; look at the dead letter again");
  }
  const auto after = reader_.dead_letter(id);
  if (!after || !*after) return not_found(fmt::format("dead letter {}", id));
  if (!(*after)->replayed_at) {
    return error_response(422, "VALIDATION_ERROR",
                          "the message was refused again; it stays a dead letter. The journal says why");
  }
  return ok(envelope(to_json(**after, false)));
}

}  // namespace wattd::api
