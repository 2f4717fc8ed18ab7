#include "api/routes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "api/body.h"
#include "api/diagnostics.h"
#include "api/json.h"
#include "api/metrics.h"
#include "api/page.h"
#include "api/parameters.h"
#include "telemetry/json_text.h"
#include "telemetry/version.h"

namespace wattd::api {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 5s;  // for a change to reach the disk

std::optional<std::int64_t> id_from(const std::string& text) {
  std::int64_t id = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return id;
}

}  // namespace

Routes::Routes(const Gateway& gateway, pipeline::Pipeline& pipeline, const storage::Store& store, const Clock& clock)
    : gateway_(gateway), pipeline_(pipeline), reader_(store.path(), store.vault()), clock_(clock) {}

void Routes::set_collected(std::vector<Collected> collected) {
  auto all = std::make_shared<const std::vector<Collected>>(std::move(collected));
  const std::scoped_lock lock(mutex_);
  collected_ = std::move(all);
}

Response Routes::answer(const Request& request) try {
  const auto& path = request.path;
  const bool get = request.method == "GET";
  if (request.method == "POST" && path == "/api/v1/collect") return collect(request);
  if (!get && !request.trusted) {
    return error_response(403, "FORBIDDEN",
                          "changes are taken by the unix socket only, until users and TLS are set up; use wattctl");
  }
  if (get && path == "/") return {.body = std::string(status_page()), .content_type = "text/html; charset=utf-8"};
  if (get && path == "/health") return ok(fmt::format(R"({{"status":"healthy","version":"{}"}})", kVersion));
  if (get && path == "/ready") return ready();
  if (get && path == "/metrics")
    return {.body = metrics_text(gateway_.overview(), pipeline_, clock_), .content_type = "text/plain; version=0.0.4"};
  if (get && path == "/api/v1/status") return status();
  if (get && path == "/api/v1/diagnostics")
    return request.trusted ? ok(fmt::format(R"({{"success":true,"data":{}}})",
                                            diagnostics_of(gateway_.overview(), pipeline_, reader_, clock_)))
                           : error_response(403, "FORBIDDEN", "diagnostics go by the unix socket");
  if (get && path == "/api/v1/stream") return {.streams = true, .only_device = text_of(request, "device_id")};
  if (get && path == "/api/v1/storage/samples") return sample_count(request);
  if (request.method == "POST" && path == "/api/v1/storage/backup") return begin_backup(request);
  if (is_under(path, "/api/v1/devices")) {
    const auto rest = rest_of(path, "/api/v1/devices");
    if (get && rest.empty()) return devices(request);
    if (get && rest.size() == 1) return device(rest[0]);
  }
  if (get && is_under(path, "/api/v1/data/telemetry")) {
    const auto rest = rest_of(path, "/api/v1/data/telemetry");
    if (rest.size() == 1) return telemetry(request, rest[0]);
    if (rest.size() == 2 && rest[1] == "latest") return latest(rest[0]);
  }
  if (get && is_under(path, "/api/v1/data/stats")) {
    const auto rest = rest_of(path, "/api/v1/data/stats");
    if (rest.size() == 1) return statistics(request, rest[0]);
  }
  if (get && (is_under(path, "/api/v1/data/demand") || is_under(path, "/api/v1/buildings"))) {
    const bool building = is_under(path, "/api/v1/buildings");
    const auto rest = rest_of(path, building ? "/api/v1/buildings" : "/api/v1/data/demand");
    if (rest.size() == (building ? 2 : 1) && (!building || rest[1] == "demand"))
      return demand(request, rest[0], building);
  }
  if (auto answered = answer_about_rules(request)) return std::move(*answered);
  if (auto answered = answer_about_alerts(request)) return std::move(*answered);
  if (auto answered = answer_about_sinks(request)) return std::move(*answered);
  constexpr std::string_view kBuses = "/api/v1/buses/";
  if (request.method == "POST" && path.starts_with(kBuses)) {
    // A bus may be called after its device, slashes included.
    const auto end = path.rfind('/');
    const auto verb = path.substr(end);
    const auto bus = end < kBuses.size() ? std::string() : path.substr(kBuses.size(), end - kBuses.size());
    if (!bus.empty() && verb == "/read") return read_registers(request, bus);
    if (!bus.empty() && verb == "/trace") return trace_bus(request, bus);
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

Response Routes::read_registers(const Request& request, const std::string& bus) const {
  const auto json = object_in(request.body);
  const drivers::modbus::ReadRequest asked{whole_in(json, "unit", 1, 255), whole_in(json, "function", 3, 4),
                                           whole_in(json, "address", 0, 65'535), whole_in(json, "count", 1, 125)};
  const std::chrono::milliseconds timeout{whole_in(json, "timeout_ms", 20, 2000)};
  const auto words = gateway_.ask_meter(bus, asked, timeout);
  if (!words) {
    const auto kind = words.error().kind;
    const auto* code = kind == ErrorKind::retry ? "SILENT" : kind == ErrorKind::unsupported ? "UNSUPPORTED" : "REFUSED";
    return error_response(502, code, words.error().message);
  }
  Json::Value answer;
  answer["words"] = Json::arrayValue;
  for (const auto word : *words) answer["words"].append(word);
  return ok(envelope(std::move(answer)));
}

Response Routes::trace_bus(const Request& request, const std::string& bus) const {
  const auto json = object_in(request.body);
  if (!json["after"].isUInt64()) throw BadParameter{"the body is not {\"after\": NUMBER}"};
  const auto trace = gateway_.trace_bus(bus, json["after"].asUInt64());
  if (!trace) return error_response(404, "NOT_FOUND", trace.error().message);
  Json::Value data;
  data["framing"] = trace->framing == drivers::modbus::Framing::tcp ? "tcp" : "rtu";
  data["frames"] = Json::arrayValue;
  for (const auto& frame : trace->frames) {
    Json::Value one;
    one["number"] = Json::UInt64(frame.number);
    one["at"] = format_iso8601(frame.at);
    one["sent"] = frame.sent;
    one["bytes"] = fmt::format("{:02x}", fmt::join(frame.bytes, ""));
    data["frames"].append(one);
  }
  return ok(envelope(std::move(data)));
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
  for (const auto& entry : pipeline_.registry().activity(clock_.monotonic())) {
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
  const auto known = pipeline_.registry().activity(clock_.monotonic());
  const auto entry = std::ranges::find(known, id, [](const auto& activity) { return activity.device.id; });
  if (entry == known.end() || entry->device.deleted_at) return not_found("device " + id);
  const auto series = reader_.series_of(id);
  if (!series) return storage_error(series.error());
  auto json = to_json(*entry);
  json["series"] = Json::arrayValue;
  for (const auto& one : *series) json["series"].append(to_json(one));
  return ok(envelope(json));
}

bool Routes::knows(const std::string& id) const {
  return std::ranges::any_of(pipeline_.registry().activity(clock_.monotonic()),
                             [&](const auto& entry) { return entry.device.id == id; });
}

Response Routes::begin_backup(const Request& request) {
  const auto wanted = text_of(request, "path");
  if (!wanted.empty() && !wanted.starts_with('/'))
    throw BadParameter{fmt::format("path is {:?}; expected an absolute path", wanted)};
  auto outcome = std::make_shared<Result<std::string>>();
  const bool done = pipeline_.change_and_wait(
      [wanted, outcome, now = clock_.now()](pipeline::Pipeline& pipeline) {
        const auto path = wanted.empty() ? pipeline.store().backup_path(now) : wanted;
        const auto begun = pipeline.store().begin_backup(path);
        if (begun) *outcome = path;
        else *outcome = std::unexpected(begun.error());
      },
      kPatience);
  if (!done) return error_response(503, "BUSY", "the gateway is busy; try again");
  if (!*outcome) return error_response(409, "CONFLICT", outcome->error().message);
  Json::Value data;
  data["path"] = **outcome;
  return ok(envelope(data));
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
