// Alerts, silences, channels, and who was told of what and did what.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "api/body.h"
#include "api/json.h"
#include "api/parameters.h"
#include "api/routes.h"
#include "rules/json.h"
#include "telemetry/identity.h"

namespace wattd::api {

std::optional<Response> Routes::answer_about_alerts(const Request& request) {
  const auto& method = request.method;
  if (is_under(request.path, "/api/v1/alerts")) {
    const auto rest = rest_of(request.path, "/api/v1/alerts");
    if (rest.empty() && method == "GET") return alerts(request);
    if (rest.size() == 1 && method == "GET") return alert(rest[0]);
    if (rest.size() == 2 && method == "PATCH") return change_alert(request, rest[0], rest[1]);
  }
  if (is_under(request.path, "/api/v1/silences")) {
    const auto rest = rest_of(request.path, "/api/v1/silences");
    if (rest.empty() && method == "GET") return silences();
    if (rest.empty() && method == "POST") return add_silence(request);
    if (rest.size() == 1 && method == "DELETE") return end_silence(request, rest[0]);
  }
  if (is_under(request.path, "/api/v1/channels")) {
    const auto rest = rest_of(request.path, "/api/v1/channels");
    if (rest.empty() && method == "GET") return channels();
    if (rest.size() == 2 && rest[1] == "test" && method == "POST") return test_channel(request, rest[0]);
  }
  if (request.path == "/api/v1/notifications" && method == "GET") return notifications(request);
  if (request.path == "/api/v1/audit" && method == "GET") return audit(request);
  return std::nullopt;
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
    items.append(rules::to_json((*found)[i]));
  return ok(page_envelope(items, found->size(), page, size));
}

/// An alert with all that was told of it and done to it.
Response Routes::alert(const std::string& id) {
  const auto found = reader_.alert(id);
  if (!found) return storage_error(found.error());
  if (!*found) return not_found("alert " + id);
  const auto told = reader_.deliveries(id, "", 1000);
  if (!told) return storage_error(told.error());
  const auto done = reader_.audit("alert/" + id, 1000);
  if (!done) return storage_error(done.error());
  auto json = rules::to_json(**found);
  json["notifications"] = json["audit"] = Json::arrayValue;
  for (const auto& one : *told) json["notifications"].append(to_json(one));
  for (const auto& one : *done) json["audit"].append(to_json(one));
  return ok(envelope(json));
}

Response Routes::change_alert(const Request& request, const std::string& id, const std::string& verb) {
  if (verb != "acknowledge" && verb != "resolve") return not_found("the action " + verb);
  const auto found = reader_.alert(id);
  if (!found) return storage_error(found.error());
  if (!*found) return not_found("alert " + id);
  if ((*found)->status == AlertStatus::resolved)
    return error_response(409, "CONFLICT", "the alert is resolved already");
  const auto now = clock_.now();
  const bool acknowledges = verb == "acknowledge";
  const auto who = acknowledges ? name_in(request.body) : asker(request);
  const auto change = [who, now, acknowledges](Alert& alert) {
    if (acknowledges)
      alert.status = AlertStatus::acknowledged, alert.acknowledged_by = who, alert.acknowledged_at = now;
    else alert.status = AlertStatus::resolved, alert.resolved_by = who, alert.resolved_at = now;
  };
  auto outcome = std::make_shared<Result<Alert>>();
  const AuditEntry entry{now, who, acknowledges ? "acknowledged" : "resolved", "alert/" + id, (*found)->message};
  const bool done = pipeline_.change_and_wait(
      [alert = **found, change, outcome, entry](pipeline::Pipeline& pipeline) {
        *outcome = pipeline.change_alert(alert, change, entry);
      },
      kWritePatience);
  if (!done) return busy();
  if (!*outcome && outcome->error().kind == ErrorKind::permanent)
    return error_response(409, "CONFLICT", outcome->error().message);
  if (!*outcome) return storage_error(outcome->error());
  return ok(envelope(rules::to_json(**outcome)));
}

Response Routes::silences() {
  const auto found = reader_.silences(clock_.now());
  if (!found) return storage_error(found.error());
  Json::Value items(Json::arrayValue);
  for (const auto& one : *found) items.append(to_json(one));
  return ok(envelope(items));
}

Response Routes::put_silence(const Silence& silence, const AuditEntry& entry, unsigned status) {
  auto outcome = std::make_shared<Result<void>>();
  const bool done = pipeline_.change_and_wait(
      [outcome, silence, entry](pipeline::Pipeline& pipeline) { *outcome = pipeline.put_silence(silence, entry); },
      kWritePatience);
  if (!done) return busy();
  if (!*outcome) return storage_error(outcome->error());
  return {.status = status, .body = envelope(to_json(silence))};
}

Response Routes::add_silence(const Request& request) {
  const auto json = object_in(request.body);
  const auto now = clock_.now();
  Silence silence{.id = random_uuid(),
                  .device_ids = texts_in(json, "device_ids"),
                  .rule_ids = texts_in(json, "rule_ids"),
                  .from = time_in(json, "from", now),
                  .to = time_in(json, "to", Timestamp{}),
                  .created_by = asker(request),
                  .comment = json["comment"].isString() ? json["comment"].asString() : ""};
  if (json["minutes"].isUInt() && json["minutes"].asUInt() <= 525'600)
    silence.to = silence.from + std::chrono::minutes{json["minutes"].asUInt()};
  if (silence.to <= silence.from || silence.to <= now)
    throw BadParameter{"the body has neither \"to\", a time to come, nor \"minutes\", a whole number up to 525600"};
  return put_silence(silence, {now, silence.created_by, "silenced", "silence/" + silence.id, silence.comment}, 201);
}

Response Routes::end_silence(const Request& request, const std::string& id) {
  const auto now = clock_.now();
  const auto all = reader_.silences(now);
  if (!all) return storage_error(all.error());
  const auto found = std::ranges::find(*all, id, &Silence::id);
  if (found == all->end()) return not_found("silence " + id);
  auto silence = *found;
  silence.to = now;
  return put_silence(silence, {now, asker(request), "ended", "silence/" + id, silence.comment}, 200);
}

Response Routes::channels() {
  Json::Value items(Json::arrayValue);
  for (const auto& one : gateway_.overview().channels) items.append(to_json(one));
  return ok(envelope(items));
}

Response Routes::test_channel(const Request& request, const std::string& channel) {
  const auto json = object_in(request.body);
  const auto said = gateway_.test_channel(channel, json["recipient"].isString() ? json["recipient"].asString() : "");
  if (!said && said.error().kind == ErrorKind::permanent) return error_response(404, "NOT_FOUND", said.error().message);
  if (!said) return error_response(502, "NOT_DELIVERED", said.error().message);
  Json::Value data;
  data["channel"] = channel;
  data["provider_response"] = *said;
  return ok(envelope(data));
}

Response Routes::notifications(const Request& request) {
  const auto status = text_of(request, "status");
  if (!status.empty() && !delivery_status_from(status))
    throw BadParameter{fmt::format("status is {:?}; expected one of pending, sent, failed, bounced", status)};
  const auto found = reader_.deliveries(text_of(request, "alert_id"), status, number_of(request, "limit", 100, 10'000));
  if (!found) return storage_error(found.error());
  Json::Value items(Json::arrayValue);
  for (const auto& one : *found) items.append(to_json(one));
  return ok(envelope(items));
}

Response Routes::audit(const Request& request) {
  const auto found = reader_.audit(text_of(request, "subject"), number_of(request, "limit", 100, 10'000));
  if (!found) return storage_error(found.error());
  Json::Value items(Json::arrayValue);
  for (const auto& one : *found) items.append(to_json(one));
  return ok(envelope(items));
}

}  // namespace wattd::api
