// Rules: what there are, changes of them, and what they would say.
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

constexpr auto kEvaluation = 5s;  // for a rule to be led through what is stored

Rule rule_in(const Json::Value& json) {
  try {
    return rules::rule_from(json);
  } catch (const config::ConfigError& problem) {
    throw BadParameter{problem.what()};
  }
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
  const auto heard = gateway_.check_channels(rule);
  if (!heard) throw BadParameter{heard.error().message};
  auto outcome = std::make_shared<Result<Rule>>();
  const bool done =
      pipeline_.change_and_wait([outcome, rule = std::move(rule), entry = std::move(entry)](
                                    pipeline::Pipeline& pipeline) { *outcome = pipeline.put_rule(rule, entry); },
                                kWritePatience);
  if (!done) return busy();
  if (!*outcome && outcome->error().kind == ErrorKind::permanent)
    return error_response(409, "CONFLICT", outcome->error().message);
  if (!*outcome) return storage_error(outcome->error());
  auto json = rules::to_json(**outcome);
  for (const auto& warning : *heard) json["warnings"].append(warning);
  return {.status = status, .body = envelope(json)};
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
      [outcome, id, entry](pipeline::Pipeline& pipeline) { *outcome = pipeline.delete_rule(id, entry); },
      kWritePatience);
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
      [copy](pipeline::Pipeline& pipeline) { *copy = {pipeline.options().rules, pipeline.facts()}; }, kWritePatience);
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

}  // namespace wattd::api
