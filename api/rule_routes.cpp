// Rules, alerts, silences, and who did what to them.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "api/body.h"
#include "api/json.h"
#include "api/parameters.h"
#include "api/routes.h"
#include "drivers/mqtt/payload.h"
#include "pipeline/rule_replay.h"
#include "rules/json.h"
#include "telemetry/identity.h"

namespace wattd::api {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 5s;    // for a change to reach the disk
constexpr auto kEvaluation = 5s;  // for a rule to be led through what is stored

/// Who asks for a change, for the audit trail.
std::string asker(const Request& request) {
  auto who = text_of(request, "by");
  return who.empty() ? "somebody at the socket" : who;
}

Rule rule_in(const Json::Value& json) {
  try {
    return rules::rule_from(json);
  } catch (const config::ConfigError& problem) {
    throw BadParameter{problem.what()};
  }
}

Response busy() {
  return error_response(503, "BUSY", "the change was not written in time; look again before repeating it");
}

/// What stands in a file is changed there.
Response provisioned(const Rule& rule) {
  return error_response(
      409, "CONFLICT",
      rule.origin == rules::kBuiltIn
          ? fmt::format("the rule {:?} is built in; [alerts] says what can be set of it", rule.name)
          : fmt::format("the rule {:?} is provisioned by {}; change it there and reload", rule.name, rule.origin));
}

}  // namespace

std::optional<Response> Routes::answer_about_rules(const Request& request) {
  const auto& method = request.method;
  if (is_under(request.path, "/api/v1/rules")) {
    const auto rest = rest_of(request.path, "/api/v1/rules");
    if (rest.empty() && method == "GET") return rules(request);
    if (rest.empty() && method == "POST") return create_rule(request);
    if (rest.size() == 1 && rest[0] == "evaluate" && method == "POST") return evaluate_rules(request);
    if (rest.size() == 1 && rest[0] == "test" && method == "POST") return test_rule(request);
    if (rest.size() == 1 && method == "GET") return rule(rest[0]);
    if (rest.size() == 1 && method == "PUT") return update_rule(request, rest[0]);
    if (rest.size() == 1 && method == "DELETE") return delete_rule(request, rest[0]);
    if (rest.size() == 2 && rest[1] == "status" && method == "PATCH") return update_rule_status(request, rest[0]);
  }
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

Response Routes::rules(const Request& request) {
  const auto status = text_of(request, "status");
  if (!status.empty() && !rule_status_from(status))
    throw BadParameter{fmt::format("status is {:?}; expected one of active, paused, archived", status)};
  const auto device = text_of(request, "device_id");
  const auto page = number_of(request, "page", 1, 100'000);
  const auto size = number_of(request, "page_size", 20, 1000);
  const auto found = reader_.rules();
  if (!found) return storage_error(found.error());
  const auto devices = pipeline_.registry().devices();
  const auto record = std::ranges::find(devices, device, &Device::id);
  Json::Value items(Json::arrayValue);
  std::size_t total = 0;
  for (const auto& one : *found) {
    if (!status.empty() && to_string(one.status) != status) continue;
    if (!device.empty() && !rules::concerns(one, device, record == devices.end() ? nullptr : &*record)) continue;
    if (total >= (page - 1) * size && total < page * size) items.append(rules::to_json(one));
    ++total;
  }
  return ok(page_envelope(items, total, page, size));
}

Result<std::optional<Rule>> Routes::find_rule(const std::string& id) {
  const auto all = reader_.rules();
  if (!all) return std::unexpected(all.error());
  const auto found = std::ranges::find(*all, id, &Rule::id);
  return found == all->end() ? std::optional<Rule>() : std::optional(*found);
}

Response Routes::rule(const std::string& id) {
  const auto found = find_rule(id);
  if (!found) return storage_error(found.error());
  return *found ? ok(envelope(rules::to_json(**found))) : not_found("rule " + id);
}

/// Writes a rule, unless another has its name or a device would have too many.
Response Routes::put_rule(Rule rule, AuditEntry entry, unsigned status) {
  auto outcome = std::make_shared<Result<Rule>>();
  const bool done =
      pipeline_.change_and_wait([outcome, rule = std::move(rule), entry = std::move(entry)](
                                    pipeline::Pipeline& pipeline) { *outcome = pipeline.put_rule(rule, entry); },
                                kPatience);
  if (!done) return busy();
  if (!*outcome && outcome->error().kind == ErrorKind::permanent)
    return error_response(409, "CONFLICT", outcome->error().message);
  if (!*outcome) return storage_error(outcome->error());
  return {.status = status, .body = envelope(rules::to_json(**outcome))};
}

Response Routes::create_rule(const Request& request) {
  auto rule = rule_in(object_in(request.body));
  rule.id = random_uuid();
  return put_rule(rule, {clock_.now(), asker(request), "created", "rule/" + rule.id, rule.name}, 201);
}

Response Routes::update_rule(const Request& request, const std::string& id) {
  const auto found = find_rule(id);
  if (!found) return storage_error(found.error());
  if (!*found) return not_found("rule " + id);
  if (!(*found)->origin.empty()) return provisioned(**found);
  auto rule = rule_in(object_in(request.body));
  rule.id = id;
  return put_rule(rule, {clock_.now(), asker(request), "changed", "rule/" + id, rule.name}, 200);
}

Response Routes::update_rule_status(const Request& request, const std::string& id) {
  const auto json = object_in(request.body);
  const auto status = rule_status_from(json["status"].isString() ? json["status"].asString() : std::string());
  if (!status) throw BadParameter{"the body is not {\"status\": \"active\"}, or paused or archived"};
  const auto found = find_rule(id);
  if (!found) return storage_error(found.error());
  if (!*found) return not_found("rule " + id);
  if (!(*found)->origin.empty()) return provisioned(**found);
  auto rule = **found;
  rule.status = *status;
  return put_rule(rule, {clock_.now(), asker(request), std::string(to_string(*status)), "rule/" + id, rule.name}, 200);
}

Response Routes::delete_rule(const Request& request, const std::string& id) {
  const auto found = find_rule(id);
  if (!found) return storage_error(found.error());
  if (!*found) return not_found("rule " + id);
  if (!(*found)->origin.empty()) return provisioned(**found);
  auto outcome = std::make_shared<Result<void>>();
  const AuditEntry entry{clock_.now(), asker(request), "deleted", "rule/" + id, (*found)->name};
  const bool done = pipeline_.change_and_wait(
      [outcome, id, entry](pipeline::Pipeline& pipeline) { *outcome = pipeline.delete_rule(id, entry); }, kPatience);
  if (!done) return busy();
  if (!*outcome) return storage_error(outcome->error());
  Json::Value data;
  data["rule_id"] = id;
  return ok(envelope(data));
}

/// What the pipeline knows, for rules that are judged beside it.
std::optional<Routes::Surroundings> Routes::surroundings() {
  struct Copy {
    rules::Options options;
    std::map<std::pair<std::string, std::string>, SeriesFacts> facts;
  };
  const auto copy = std::make_shared<Copy>();
  const bool done = pipeline_.change_and_wait(
      [copy](pipeline::Pipeline& pipeline) { *copy = {pipeline.options().rules, pipeline.facts()}; }, kPatience);
  if (!done) return std::nullopt;
  const auto facts_of = [copy](std::string_view device, std::string_view field) -> std::optional<SeriesFacts> {
    const auto found = copy->facts.find({std::string(device), std::string(field)});
    return found == copy->facts.end() ? std::nullopt : std::optional(found->second);
  };
  return Surroundings{copy->options, facts_of};
}

/// Judges a reading by every rule that concerns its device, as if nothing had been read before it; nothing is written.
Response Routes::evaluate_rules(const Request& request) {
  auto decoded = drivers::mqtt::PayloadDecoder().decode(request.body);
  if (!decoded) throw BadParameter{"the body is no telemetry: " + decoded.error().message};
  auto& reading = decoded->reading;
  if (reading.device_id.empty()) throw BadParameter{"device_id is missing"};
  if (!decoded->has_stamp) reading.at = clock_.now();
  auto all = reader_.rules();
  if (!all) return storage_error(all.error());
  const auto standing = reader_.alerts("", reading.device_id, 10'000);
  if (!standing) return storage_error(standing.error());
  const auto around = surroundings();
  if (!around) return busy();
  const auto devices = pipeline_.registry().devices();
  const auto record = std::ranges::find(devices, reading.device_id, &Device::id);
  std::erase_if(*all, [&](const Rule& one) {
    return one.status != RuleStatus::active ||
           !rules::concerns(one, reading.device_id, record == devices.end() ? nullptr : &*record);
  });
  const rules::Moment moment{reading.at, clock_.monotonic()};
  rules::Engine engine(around->options, reader_.calendar(), around->facts_of);
  engine.set_devices(devices, moment);
  engine.set_rules(*all, moment);
  rules::Verdict verdict;
  engine.judge(reading, moment, verdict);
  Json::Value results(Json::arrayValue);
  for (const auto& one : *all) {
    const auto open = std::ranges::find_if(
        *standing, [&](const Alert& alert) { return alert.rule_id == one.id && alert.is_active(); });
    Json::Value result;
    result["rule_id"] = one.id;
    result["rule_name"] = one.name;
    result["triggered"] = std::ranges::find(verdict.changed, one.id, &Alert::rule_id) != verdict.changed.end();
    result["alert_id"] = open == standing->end() ? Json::Value(Json::nullValue) : Json::Value(open->id);
    results.append(result);
  }
  Json::Value data;
  data["evaluated"] = results.size();
  data["triggered"] = Json::UInt64(verdict.changed.size());
  data["results"] = results;
  return ok(envelope(data));
}

/// Leads what is stored through a rule that need not be there yet.
Response Routes::test_rule(const Request& request) {
  const auto json = object_in(request.body);
  std::optional<Rule> rule;
  if (json["rule_id"].isString()) {
    auto found = find_rule(json["rule_id"].asString());
    if (!found) return storage_error(found.error());
    if (!*found) return not_found("rule " + json["rule_id"].asString());
    rule = std::move(*found);
  } else if (json["rule"].isObject()) {
    rule = rule_in(json["rule"]);
  } else {
    throw BadParameter{"the body has neither \"rule_id\" nor \"rule\""};
  }
  const auto now = clock_.now();
  const TimeRange range{time_of(request, "from", now - 24h), time_of(request, "to", now)};
  if (range.from >= range.to) throw BadParameter{"from is not before to"};
  const auto around = surroundings();
  if (!around) return busy();
  const auto replay = pipeline::replay_rule(reader_, pipeline_.registry().devices(), *rule, around->options,
                                            around->facts_of, range, kEvaluation);
  if (!replay) return storage_error(replay.error());
  Json::Value data;
  data["from"] = format_iso8601(range.from);
  data["to"] = format_iso8601(replay->until);
  data["complete"] = replay->until >= range.to;
  data["readings"] = Json::UInt64(replay->readings);
  data["raised"] = Json::UInt64(replay->raised);
  data["told"] = Json::UInt64(replay->told);
  data["alerts"] = Json::arrayValue;
  for (const auto& one : replay->alerts) {
    auto entry = rules::to_json(one.alert);
    for (const auto* name : {"alert_id", "rule_id", "acknowledged_by", "acknowledged_at"}) entry.removeMember(name);
    entry["told"] = one.told;
    data["alerts"].append(entry);
  }
  return ok(envelope(data));
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
      kPatience);
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
      kPatience);
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
