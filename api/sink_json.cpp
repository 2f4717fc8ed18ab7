#include <cmath>

#include "api/json.h"

namespace wattd::api {
namespace {

Json::Value to_json(const sync::JobStatus& job, Timestamp now) {
  Json::Value json;
  json["kind"] = std::string(to_string(job.request.kind));
  json["began"] = format_iso8601(job.began);
  json["ended"] = time_or_null(job.ended);
  json["result"] = text_or_null(job.result);
  json["failed"] = job.failed;
  json["last_error"] = text_or_null(job.last_error);
  if (job.request.kind == sync::JobRequest::Kind::test) return json;
  const auto whole = std::chrono::duration<double>(job.request.range.to - job.request.range.from).count();
  const auto done = std::chrono::duration<double>(job.done_until - job.request.range.from).count() / whole;
  const auto taken = std::chrono::duration<double>(job.ended.value_or(now) - job.began).count();
  json["from"] = format_iso8601(job.request.range.from);
  json["to"] = format_iso8601(job.request.range.to);
  json["done"] = done;
  json["seconds_left"] = !job.ended && done > 0 ? Json::Value(std::round(taken * (1 - done) / done)) : Json::Value();
  json["sent_readings"] = Json::UInt64(job.sent_readings);
  json["readings_per_second"] = taken > 0 ? std::round(static_cast<double>(job.sent_readings) / taken) : 0;
  if (job.request.kind != sync::JobRequest::Kind::verify) return json;
  json["values_here"] = Json::UInt64(job.here);
  json["values_there"] = Json::UInt64(job.there);
  json["hours_different"] = Json::UInt64(job.different);
  json["differences"] = Json::arrayValue;
  for (const auto& one : job.differences) {
    Json::Value difference;
    difference["hour"] = format_iso8601(one.hour);
    difference["device_id"] = one.device_id;
    difference["here"] = Json::UInt64(one.here);
    difference["there"] = Json::UInt64(one.there);
    json["differences"].append(difference);
  }
  return json;
}

}  // namespace

Json::Value to_json(const sync::SinkStatus& status, std::uint64_t last_seq, Timestamp now) {
  const auto& sink = status.shipper;
  if (sink.stream != sync::Stream::readings) last_seq = sink.newest;
  Json::Value json;
  json["id"] = sink.id;
  json["sink"] = sink.id.substr(0, sink.id.find('/'));
  json["target"] = sink.target;
  json["stream"] = std::string(to_string(sink.stream));
  json["paused"] = sink.paused;
  json["settled_seq"] = Json::UInt64(sink.cursor.settled);
  json["sent_seq"] = Json::UInt64(sink.cursor.sent);
  json["last_seq"] = Json::UInt64(last_seq);
  json["settled_beyond"] = Json::arrayValue;
  for (const auto& range : sink.cursor.done) {
    Json::Value one;
    one["after"] = Json::UInt64(range.from);
    one["to"] = Json::UInt64(range.to);
    json["settled_beyond"].append(one);
  }
  json["behind_segments"] = Json::UInt64(last_seq > sink.cursor.sent ? last_seq - sink.cursor.sent : 0);
  json["backfill_segments"] = Json::UInt64(sink.backfill_segments);
  json["waiting_readings"] = Json::UInt64(sink.waiting_readings);
  json["lag_seconds"] = std::round(sync::lag(sink, now) * 10) / 10;
  json["readings_per_second"] = std::round(sink.rate * 10) / 10;
  const bool goes_down = sink.rate > 0 && sink.waiting_readings > 0;
  json["seconds_left"] =
      goes_down ? Json::Value(std::round(static_cast<double>(sink.waiting_readings) / sink.rate)) : Json::Value();
  json["sent_readings"] = Json::UInt64(sink.sent_readings);
  json["sent_samples"] = Json::UInt64(sink.sent_samples);
  json["refused_readings"] = Json::UInt64(sink.refused_readings);
  json["bytes"] = Json::UInt64(sink.bytes);
  if (sink.budget > 0) {
    json["budget"]["bytes_a_day"] = Json::Int64(sink.budget);
    json["budget"]["spent_on"] = sink.spent.date;
    json["budget"]["spent_bytes"] = Json::Int64(sink.spent.bytes);
    json["budget"]["waits"] = sink.waits_for_budget;
  }
  json["failures"] = Json::UInt64(sink.failures);
  json["last_success"] = time_or_null(sink.last_success);
  json["last_error"] = text_or_null(sink.last_error);
  json["job"] = status.job ? to_json(*status.job, now) : Json::Value();
  return json;
}

}  // namespace wattd::api
