#include "cli/answer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "telemetry/clock.h"

namespace wattd::cli {
namespace {

/// What the meter refuses, if anything.
std::string left_out_of(const Json::Value& meter) {
  std::vector<std::string> names;
  for (const auto& name : meter["left_out"]) names.push_back(name.asString());
  return names.empty() ? std::string() : fmt::format("; refuses {}", fmt::join(names, ", "));
}

using namespace std::chrono_literals;

std::string state_of(const Json::Value& error, bool good, const std::string& text) {
  return good ? text : "FAILING: " + cell(error);
}

void print_bundle(const Json::Value& bundle) {
  const bool has_one = bundle["applied"].asUInt64() > 0;
  fmt::print(
      "bundle     {}{}{}{}\n", has_one ? cell(bundle["applied"]) : "none taken yet",
      bundle["trial"].asBool() ? ", on trial" : "",
      bundle["refused"].isNull() ? "" : fmt::format("; {} REFUSED: {}", cell(bundle["refused"]), cell(bundle["why"])),
      bundle["last_error"].isNull() ? "" : "; " + cell(bundle["last_error"]));
}

void print_status(const Json::Value& status) {
  const auto& pipeline = status["pipeline"];
  const auto& storage = status["storage"];
  fmt::print("gateway    {}  wattd {}  up {}\n", cell(status["gateway_id"]), cell(status["version"]),
             format_duration(std::chrono::seconds{status["uptime_seconds"].asInt64()}));
  fmt::print("readings   {} received, {} committed ({} samples), {} refused, {} redelivered, {} waiting\n",
             cell(pipeline["received"]), cell(pipeline["committed"]), cell(pipeline["samples"]),
             cell(pipeline["rejected"]), cell(pipeline["redelivered"]), cell(pipeline["backlog"]));
  fmt::print("commits    {} groups, p95 {:.1f} ms{}\n", cell(pipeline["groups"]), pipeline["commit_ms_p95"].asDouble(),
             pipeline["commit_problem"].isNull() ? "" : "  NOT COMMITTING: " + cell(pipeline["commit_problem"]));
  fmt::print("alerts     {} raised\n", cell(pipeline["alerts"]));
  const auto& clock = status["clock"];
  if (!clock["trusted"].asBool()) {
    fmt::print("clock      NOT TRUSTED: {} readings are held until it is; set up NTP, or [clock] trust = \"rtc\"\n",
               cell(clock["held_readings"]));
  }
  fmt::print("storage    {}  {} in {} segments of the ring, {} dead letters\n", cell(storage["database"]),
             bytes_text(storage["ring_bytes"].asDouble()), cell(storage["segments"]), cell(storage["dead_letters"]));
  fmt::print("           {} in use, write-ahead log {}, {} written, {} a day at this rate\n",
             bytes_text(storage["database_bytes"].asDouble()), bytes_text(storage["wal_bytes"].asDouble()),
             bytes_text(storage["written_bytes"].asDouble()), bytes_text(storage["written_bytes_per_day"].asDouble()));
  if (!storage["key"].isNull()) {
    fmt::print("           sealed with key {}{}\n", cell(storage["key"]),
               storage["resealing"].asBool() ? "; what was written before is being sealed anew" : "");
  }
  if (!storage["relief"].isNull()) fmt::print("           NO SPACE: {}\n", cell(storage["relief"]));
  if (!storage["set_aside"].isNull()) fmt::print("           SET ASIDE: {}\n", cell(storage["set_aside"]));
  if (!status["bundle"].isNull()) print_bundle(status["bundle"]);
  for (const auto& link : status["mqtt"]) {
    fmt::print("mqtt       {}  {}  {}\n", cell(link["id"]), cell(link["address"]),
               state_of(link["last_error"], link["connected"].asBool(),
                        fmt::format("connected, {} messages", cell(link["messages"]))));
  }
  for (const auto& bus : status["buses"]) {
    fmt::print("bus        {}  {}  {:.0f} % in use\n", cell(bus["id"]), cell(bus["address"]),
               100 * bus["load"].asDouble());
    for (const auto& meter : bus["meters"]) {
      fmt::print("meter      {}  {}  {}\n", cell(meter["device_id"]), cell(bus["address"]),
                 state_of(meter["last_error"], meter["last_error"].isNull(),
                          fmt::format("{} polls, {} failed, {:.1f} ms{}", cell(meter["polls"]), cell(meter["failures"]),
                                      meter["last_answer_ms"].asDouble(), left_out_of(meter))));
    }
  }
  for (const auto& chip : status["gpio"]) {
    fmt::print("gpio       {}  {}\n", cell(chip["chip"]),
               state_of(chip["last_error"], chip["last_error"].isNull(), "lines are watched"));
  }
  for (const auto& sink : status["sinks"]) {
    fmt::print("sink       {}  {}  {}\n", cell(sink["id"]), cell(sink["target"]),
               state_of(sink["last_error"], sink["last_error"].isNull(),
                        fmt::format("{} samples sent, {} segments behind", cell(sink["sent_samples"]),
                                    cell(sink["behind_segments"]))));
  }
  for (const auto& missing : status["missing"]) fmt::print("missing    {}\n", cell(missing));
}

/// A line a field: devices differ in their fields, so readings have no columns in common.
void print_long_csv(std::string_view line) {
  const auto reading = parse_json(std::string(line));
  if (!reading) return;
  for (const auto& name : reading->getMemberNames()) {
    if (name == "timestamp" || name == "device_id" || name == "seq") continue;
    fmt::print("{},{},{},{}\n", cell((*reading)["timestamp"]), cell((*reading)["device_id"]), name,
               cell((*reading)[name]));
  }
}

Result<Json::Value> all_dead_letters(Context& context, int limit) {
  return context.client.get(fmt::format("/api/v1/dead-letters?limit={}", limit));
}

}  // namespace

void print_table(Context& context, const Table& table, const char* when_empty) {
  if (context.format == Format::csv) return table.print_csv();
  table.empty() ? fmt::print("{}\n", when_empty) : table.print();
}

std::string start_of(const std::string& text) {
  char* unit = nullptr;
  const long count = std::strtol(text.c_str(), &unit, 10);
  const std::string_view name(unit);
  const auto each = name == "s"                    ? 1s
                    : name == "m" || name == "min" ? 60s
                    : name == "h"                  ? 3600s
                    : name == "d"                  ? 86400s
                                                   : 0s;
  if (each == 0s || count <= 0) return text;
  return format_iso8601(SystemClock().now() - each * count);
}

int complain(const Error& error) {
  fmt::print(stderr, "wattctl: {}\n", error.message);
  return 1;
}

int show_status(Context& context) { return answer(context, context.client.get("/api/v1/status"), print_status); }

int list_devices(Context& context) {
  Json::Value items(Json::arrayValue);
  for (int page = 1;; ++page) {
    const auto part = context.client.get(fmt::format("/api/v1/devices?page_size=100&page={}", page));
    if (!part) return complain(part.error());
    for (const auto& item : (*part)["data"]) items.append(item);
    if ((*part)["data"].size() < 100) break;
  }
  Json::Value whole;
  whole["data"] = items;
  return answer(context, whole, [&](const Json::Value& devices) {
    Table table({"DEVICE", "NAME", "TYPE", "STATUS", "HEALTH", "LOCATION", "LAST SEEN", "READINGS", "REFUSED"});
    for (const auto& device : devices) {
      table.add({cell(device["device_id"]), cell(device["device_name"]), cell(device["device_type"]),
                 cell(device["status"]), cell(device["health_score"]), cell(device["location"]),
                 cell(device["last_seen"]), cell(device["readings"]), cell(device["rejected"])});
    }
    print_table(context, table,
                "There is no device yet. One appears with its first message, or from a [[devices]] table.");
  });
}

int tail(Context& context, const std::string& device, int count) {
  const auto target = "/api/v1/stream" + (device.empty() ? std::string{} : "?device_id=" + escaped(device));
  const auto done = context.client.stream(target, [&](std::string_view line) {
    if (context.format == Format::json) {
      fmt::print("{}\n", line);
    } else if (context.format == Format::csv) {
      print_long_csv(line);
    } else if (const auto reading = parse_json(std::string(line)); reading) {
      std::string text = fmt::format("{}  {}", cell((*reading)["timestamp"]), cell((*reading)["device_id"]));
      for (const auto& name : reading->getMemberNames()) {
        if (name == "timestamp" || name == "device_id" || name == "seq") continue;
        text += fmt::format("  {}={}", name, cell((*reading)[name]));
      }
      fmt::print("{}\n", text);
    }
    std::fflush(stdout);
    return count == 0 || --count > 0;
  });
  return done ? 0 : complain(done.error());
}

int query(Context& context, const Query& query) {
  auto target = fmt::format("/api/v1/data/telemetry/{}?limit={}&start_time={}", escaped(query.device), query.limit,
                            escaped(start_of(query.from)));
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) target += fmt::format("&{}={}", name, escaped(value));
  };
  add("end_time", query.to.empty() ? "" : start_of(query.to));
  add("fields", query.fields);
  add("aggregate", query.aggregate);
  add("interval", query.interval);
  return answer(context, context.client.get(target), [&](const Json::Value& data) {
    std::vector<std::string> columns{"timestamp"};
    for (const auto& item : data["items"]) {
      for (const auto& name : item.getMemberNames()) {
        const bool is_meta = name == "device_id" || name == "schema_version" || name == "enrichment_status";
        if (!is_meta && std::find(columns.begin(), columns.end(), name) == columns.end()) columns.push_back(name);
      }
    }
    Table table(columns);
    for (const auto& item : data["items"]) {
      std::vector<std::string> row;
      for (const auto& column : columns) row.push_back(item.isMember(column) ? cell(item[column]) : "");
      table.add(std::move(row));
    }
    print_table(context, table, "There is nothing in this range.");
  });
}

int list_dead_letters(Context& context, int limit) {
  return answer(context, all_dead_letters(context, limit), [&](const Json::Value& data) {
    Table table({"ID", "RECEIVED", "REASON", "TOPIC", "BYTES", "REPLAYED", "DETAIL"});
    for (const auto& letter : data["items"]) {
      table.add({cell(letter["id"]), cell(letter["received_at"]), cell(letter["reason"]), cell(letter["topic"]),
                 cell(letter["bytes"]), cell(letter["replayed_at"]), cell(letter["detail"])});
    }
    print_table(context, table, "There is no dead letter: every message was accepted.");
  });
}

int show_dead_letter(Context& context, std::int64_t id) {
  return answer(context, context.client.get(fmt::format("/api/v1/dead-letters/{}", id)), [](const Json::Value& letter) {
    for (const auto* name : {"id", "received_at", "source", "topic", "reason", "detail", "replayed_at", "payload"}) {
      fmt::print("{:<12} {}\n", name, cell(letter[name]));
    }
  });
}

int replay_dead_letters(Context& context, const std::vector<std::int64_t>& ids, bool all) {
  auto wanted = ids;
  if (!all && ids.empty()) {
    fmt::print(stderr, "wattctl: say which: ids, as wattctl dead-letters list shows them, or --all\n");
    return 2;
  }
  if (all) {
    const auto letters = all_dead_letters(context, 1000);
    if (!letters) return complain(letters.error());
    for (const auto& letter : (*letters)["data"]["items"]) {
      if (letter["replayed_at"].isNull()) wanted.insert(wanted.begin(), letter["id"].asInt64());
    }
  }
  int accepted = 0;
  for (const auto id : wanted) {
    const auto done = context.client.post(fmt::format("/api/v1/dead-letters/{}/replay", id));
    if (done) ++accepted;
    else fmt::print(stderr, "wattctl: dead letter {}: {}\n", id, done.error().message);
  }
  if (context.format == Format::json)
    fmt::print("{{\"replayed\":{},\"refused\":{}}}\n", accepted, wanted.size() - accepted);
  else fmt::print("{} replayed, {} refused again\n", accepted, wanted.size() - accepted);
  return accepted == static_cast<int>(wanted.size()) ? 0 : 1;
}

namespace {

/// Beside this program, where both are installed or built; otherwise where a package puts it.
std::string daemon_path() {
  std::error_code unknown;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", unknown);
  const auto beside = self.parent_path() / "wattd";
  return std::filesystem::exists(beside, unknown) ? beside.string() : "/usr/sbin/wattd";
}

}  // namespace

int check_config(Format format, const std::string& config_path) {
  // The daemon's own eyes: what it would refuse at its start is refused here, in the same words.
  const auto daemon = daemon_path();
  int output[2];
  if (format == Format::json && pipe(output) == 0) {
    const pid_t child = fork();
    if (child != 0) {
      close(output[1]);
      std::string text;
      for (char part[4096]; const auto got = read(output[0], part, sizeof part);) {
        if (got < 0) break;
        text.append(part, static_cast<std::size_t>(got));
      }
      int status = 0;
      waitpid(child, &status, 0);
      while (text.ends_with('\n')) text.pop_back();
      Json::Value json;
      json["valid"] = status == 0;
      json["message"] = text;
      print_json(json);
      return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    }
    dup2(output[1], STDOUT_FILENO);
    dup2(output[1], STDERR_FILENO);
  }
  execl(daemon.c_str(), "wattd", "--check-config", "--config", config_path.c_str(), nullptr);
  fmt::print(stderr, "wattctl: {} cannot be run: {}; is the package wattd installed?\n", daemon, std::strerror(errno));
  std::fflush(nullptr);
  _exit(1);
}

}  // namespace wattd::cli
