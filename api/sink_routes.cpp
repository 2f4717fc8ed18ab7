// Sinks: how they are doing, and what a person asks of them.
#include <fmt/format.h>

#include "api/body.h"
#include "api/json.h"
#include "api/parameters.h"
#include "api/routes.h"

namespace wattd::api {
namespace {

using namespace std::chrono_literals;

Response answer_of(const Result<void>& done, unsigned status) {
  if (done) {
    Json::Value data;
    data["accepted"] = true;
    return {.status = status, .body = envelope(data)};
  }
  if (done.error().kind == ErrorKind::permanent) return error_response(404, "NOT_FOUND", done.error().message);
  return error_response(409, "CONFLICT", done.error().message);
}

sync::JobRequest::Kind kind_in(const Json::Value& json) {
  using Kind = sync::JobRequest::Kind;
  const auto text = json["kind"].isString() ? json["kind"].asString() : "";
  for (const auto kind : {Kind::test, Kind::backfill, Kind::verify}) {
    if (to_string(kind) == text) return kind;
  }
  throw BadParameter{fmt::format("kind is {:?}; expected one of test, backfill, verify", text)};
}

}  // namespace

std::optional<Response> Routes::answer_about_sinks(const Request& request) {
  if (!is_under(request.path, "/api/v1/sinks")) return std::nullopt;
  const auto& method = request.method;
  const auto rest = rest_of(request.path, "/api/v1/sinks");
  if (rest.empty() && method == "GET") return sinks();
  if (rest.size() != 2) return std::nullopt;
  if (method == "POST" && (rest[1] == "pause" || rest[1] == "resume"))
    return answer_of(gateway_.pause_sink(rest[0], rest[1] == "pause"), 200);
  if (method == "POST" && rest[1] == "job") return start_job(request, rest[0]);
  if (method == "DELETE" && rest[1] == "job") return answer_of(gateway_.cancel_job(rest[0]), 202);
  return std::nullopt;
}

Response Routes::sinks() {
  const auto overview = gateway_.overview();
  Json::Value list(Json::arrayValue);
  for (const auto& sink : overview.sinks) list.append(to_json(sink, overview.usage.last_seq, clock_.now()));
  return ok(envelope(list));
}

Response Routes::start_job(const Request& request, const std::string& sink) {
  const auto json = object_in(request.body);
  sync::JobRequest job{.kind = kind_in(json)};
  if (job.kind != sync::JobRequest::Kind::test) {
    const auto now = clock_.now();
    job.range = {std::chrono::floor<std::chrono::hours>(time_in(json, "from", now - 24h)),
                 std::chrono::ceil<std::chrono::hours>(time_in(json, "to", now))};
    // What came just now is on its way still.
    if (job.kind == sync::JobRequest::Kind::verify && job.range.to > now)
      job.range.to = std::chrono::floor<std::chrono::hours>(now);
    if (job.range.from >= job.range.to) throw BadParameter{"from is not before to, in whole hours that have passed"};
    if (json.isMember("repair")) job.repair = json["repair"].asBool();
  }
  return answer_of(gateway_.start_job(sink, job), 202);
}

}  // namespace wattd::api
