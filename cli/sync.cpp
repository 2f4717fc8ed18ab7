// What goes upstream: how far the sinks are, and what a person asks of them.
#include <fmt/format.h>
#include <json/writer.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "cli/answer.h"
#include "cli/commands.h"

namespace wattd::cli {
namespace {

using namespace std::chrono_literals;

/// "3 h 12 min", "40 s".
std::string span_of(const Json::Value& seconds) {
  if (!seconds.isNumeric()) return "-";
  const auto whole = static_cast<std::int64_t>(seconds.asDouble() + .5);
  if (whole < 100) return fmt::format("{} s", whole);
  if (whole < 6000) return fmt::format("{} min", whole / 60);
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

std::string progress_of(const Json::Value& job) {
  if (job.isNull()) return "-";
  const auto kind = cell(job["kind"]);
  if (!job["ended"].isNull()) return fmt::format("{}: {}", kind, cell(job["result"]));
  auto text = job["kind"].asString() == "test" ? kind : fmt::format("{} {:.0f} %", kind, 100 * job["done"].asDouble());
  if (job["sent_readings"].asUInt64() > 0)
    text += fmt::format(", {} readings sent, {}/s", cell(job["sent_readings"]), cell(job["readings_per_second"]));
  if (!job["seconds_left"].isNull()) text += ", " + span_of(job["seconds_left"]) + " left";
  if (!job["last_error"].isNull()) text += "; " + cell(job["last_error"]);
  return text;
}

Result<Json::Value> find_sink(Context& context, const std::string& id) {
  auto sinks = context.client.get("/api/v1/sinks");
  if (!sinks) return sinks;
  std::string known;
  for (const auto& sink : (*sinks)["data"]) {
    if (sink["id"].asString() == id || sink["sink"].asString() == id) return sink;
    known += " " + sink["id"].asString();
  }
  return fail(ErrorKind::permanent,
              fmt::format("there is no sink {:?}; there {}", id, known.empty() ? "is none" : "are:" + known));
}

/// Waits until the sink's job has ended, and says how far it is meanwhile.
Result<Json::Value> wait_for_job(Context& context, const std::string& id) {
  const bool shows = isatty(STDERR_FILENO) != 0 && context.format == Format::table;
  while (true) {
    auto sink = find_sink(context, id);
    if (!sink) return sink;
    const auto job = (*sink)["job"];
    const bool is_over = job.isNull() || !job["ended"].isNull();
    if (shows) fmt::print(stderr, "\r\x1b[K{}", is_over ? "" : progress_of(job));
    if (is_over) return job;
    std::this_thread::sleep_for(300ms);
  }
}

}  // namespace

int sync_status(Context& context) {
  const auto sinks = context.client.get("/api/v1/sinks");
  return answer(context, sinks, [&](const Json::Value& list) {
    Table table(
        {"SINK", "TARGET", "STATE", "SAMPLES SENT", "WAITING", "LAG", "RATE", "LEFT", "REFUSED", "FAILURES", "JOB"});
    for (const auto& sink : list) {
      const bool waits = sink["waiting_readings"].asUInt64() > 0;
      table.add({cell(sink["id"]), cell(sink["target"]),
                 sink["paused"].asBool()            ? "paused"
                 : sink["budget"]["waits"].asBool() ? "waits for its budget"
                 : !sink["last_error"].isNull()     ? cell(sink["last_error"])
                 : sink["last_success"].isNull()    ? "nothing sent yet"
                                                    : "ok",
                 cell(sink["sent_samples"]), cell(sink["waiting_readings"]), span_of(sink["lag_seconds"]),
                 cell(sink["readings_per_second"]) + "/s", waits ? span_of(sink["seconds_left"]) : "-",
                 cell(sink["refused_readings"]), cell(sink["failures"]), progress_of(sink["job"])});
    }
    print_table(context, table, "No upstream is configured. Add a [[sinks]] table to the configuration.");
  });
}

int sync_cursor(Context& context, const std::string& id) {
  const auto sink = find_sink(context, id);
  if (!sink) return complain(sink.error());
  Json::Value whole;
  whole["data"] = *sink;
  return answer(context, whole, [&](const Json::Value& one) {
    fmt::print("settled    up to segment {} of {}\nsent       up to segment {}\n", cell(one["settled_seq"]),
               cell(one["last_seq"]), cell(one["sent_seq"]));
    for (const auto& range : one["settled_beyond"])
      fmt::print("settled    also {} to {}\n", range["after"].asUInt64() + 1, cell(range["to"]));
    fmt::print("late       {} segments are sent beside live ones\n", cell(one["backfill_segments"]));
  });
}

int pause_sink(Context& context, const std::string& id, bool paused) {
  const auto done = context.client.post(fmt::format("/api/v1/sinks/{}/{}", escaped(id), paused ? "pause" : "resume"));
  return answer(context, done, [&](const Json::Value&) {
    fmt::print("{}\n", paused ? id + " is paused until it is resumed; nothing is lost" : id + " goes on");
  });
}

int cancel_job(Context& context, const std::string& id) {
  const auto done = context.client.remove(fmt::format("/api/v1/sinks/{}/job", escaped(id)));
  return answer(context, done, [&](const Json::Value&) { fmt::print("broken off\n"); });
}

int run_job(Context& context, const SinkJob& job) {
  Json::Value body;
  body["kind"] = job.kind;
  if (!job.from.empty()) body["from"] = start_of(job.from);
  if (!job.to.empty()) body["to"] = start_of(job.to);
  if (job.dry_run) body["repair"] = false;
  const auto begun = context.client.post(fmt::format("/api/v1/sinks/{}/job", escaped(job.sink)),
                                         Json::writeString(Json::StreamWriterBuilder(), body));
  if (!begun) return complain(begun.error());
  const auto ended = wait_for_job(context, job.sink);
  if (!ended) return complain(ended.error());
  const bool differs = (*ended)["hours_different"].asUInt64() > 0;
  const int status = (*ended)["failed"].asBool() || (job.dry_run && differs) ? 1 : 0;
  if (context.format == Format::json) {
    print_json(*ended);
    return status;
  }
  if ((*ended)["failed"].asBool())
    return complain({ErrorKind::permanent, fmt::format("{}: {}", job.sink, cell((*ended)["result"]))});
  fmt::print("{}\n", cell((*ended)["result"]));
  if (!differs) return status;
  Table table({"HOUR", "DEVICE", "HERE", "UPSTREAM"});
  for (const auto& one : (*ended)["differences"])
    table.add({cell(one["hour"]), cell(one["device_id"]), cell(one["here"]), cell(one["there"])});
  print_table(context, table, "");
  return status;
}

}  // namespace wattd::cli
