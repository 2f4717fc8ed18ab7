#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "cli/commands.h"

namespace wattd::cli {
namespace {

constexpr double kBusyBus = .9;  // beyond this meters wait for one another

/// What was looked at, what was found, and what to do about it.
class Findings {
 public:
  void good(const std::string& what, const std::string& found) { add("ok", what, found, ""); }
  void warn(const std::string& what, const std::string& found, const std::string& remedy) {
    add("warning", what, found, remedy);
  }
  void bad(const std::string& what, const std::string& found, const std::string& remedy) {
    add("FAILED", what, found, remedy);
    failed_ = true;
  }
  void print(Format format) const {
    if (format == Format::json) return print_json(json_);
    Table table({"", "CHECK", "FOUND", "REMEDY"});
    for (const auto& finding : json_) {
      table.add({cell(finding["state"]), cell(finding["check"]), cell(finding["found"]), cell(finding["remedy"])});
    }
    format == Format::csv ? table.print_csv() : table.print();
  }
  bool failed() const { return failed_; }

 private:
  void add(const char* state, const std::string& what, const std::string& found, const std::string& remedy) {
    Json::Value finding;
    finding["state"] = state;
    finding["check"] = what;
    finding["found"] = found;
    finding["remedy"] = remedy;
    json_.append(finding);
  }

  Json::Value json_{Json::arrayValue};
  bool failed_ = false;
};

/// `trusted`: the daemon has somebody else who vouches for the clock.
void check_clock(Findings& findings, bool trusted) {
  timex kernel{};
  const int state = adjtimex(&kernel);
  if (state >= 0 && state != TIME_ERROR && (kernel.status & STA_UNSYNC) == 0) {
    findings.good("clock", fmt::format("synchronised, estimated error {} us", kernel.esterror));
  } else if (trusted) {
    findings.good("clock", "trusted, as [clock] says; the kernel does not say that it is synchronised");
  } else {
    findings.warn("clock", "the kernel does not say that it is synchronised",
                  "run an NTP client (apt install chrony, whose rtcsync has to stay in its configuration) or, on an "
                  "isolated plant with a battery-backed clock, say "
                  "trust = \"rtc\" in [clock]");
  }
}

void check_disk(Findings& findings, const std::string& database) {
  const auto directory = std::filesystem::path(database).parent_path().string();
  struct statvfs disk{};
  if (statvfs(directory.c_str(), &disk) != 0) {
    findings.bad("disk", directory + " cannot be looked at", "check that the data directory exists and is mounted");
    return;
  }
  const double free_bytes = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  const double share = static_cast<double>(disk.f_bavail) / static_cast<double>(std::max<fsblkcnt_t>(disk.f_blocks, 1));
  const auto found = fmt::format("{} free on {} ({:.0f} %)", bytes_text(free_bytes), directory, 100 * share);
  if (free_bytes < 64e6) findings.bad("disk", found, "free some space, or lower storage.ring in the configuration");
  else if (share < .05) findings.warn("disk", found, "the disk is nearly full: free some space");
  else findings.good("disk", found);
  if ((disk.f_flag & ST_RDONLY) != 0)
    findings.bad("disk", directory + " is mounted read-only", "see dmesg for I/O errors; remount it");
  struct stat file{};
  if (stat(database.c_str(), &file) != 0) return;
  if ((file.st_mode & 0077) != 0)
    findings.warn("permissions", fmt::format("{} has mode {:o}", database, file.st_mode & 0777), "chmod 600 it");
  else findings.good("permissions", fmt::format("{} has mode {:o}", database, file.st_mode & 0777));
}

void check_links(Findings& findings, const Json::Value& status) {
  for (const auto& link : status["mqtt"]) {
    const auto what = "broker " + cell(link["id"]);
    if (link["connected"].asBool()) findings.good(what, cell(link["address"]) + " is connected");
    else findings.bad(what, cell(link["last_error"]), "check host, port, user and the broker's own log");
  }
  for (const auto& chip : status["gpio"]) {
    const auto what = "gpio " + cell(chip["chip"]);
    if (chip["last_error"].isNull()) findings.good(what, "its lines are watched");
    else
      findings.bad(what, cell(chip["last_error"]), "gpiodetect and gpioinfo list chips and lines and who holds them");
  }
  for (const auto& bus : status["buses"]) {
    const auto load = fmt::format("{:.0f} % in use", 100 * bus["load"].asDouble());
    const auto line = "bus " + cell(bus["id"]);
    if (bus["load"].asDouble() < kBusyBus) findings.good(line, load);
    else
      findings.bad(line, load + ": periods cannot be kept",
                   "read less often (fast, slow), raise the meters' baud rate, or split the line");
    for (const auto& meter : bus["meters"]) {
      const auto what = "meter " + cell(meter["device_id"]);
      if (meter["last_error"].isNull())
        findings.good(what, fmt::format("answers in {:.1f} ms", meter["last_answer_ms"].asDouble()));
      else
        findings.bad(what, cell(meter["last_error"]),
                     "check power, wiring (A/B), unit id and baud rate; try wattctl meter read");
    }
  }
}

/// VictoriaMetrics counts a resent sample twice unless it was told not to.
bool deduplicates(const std::string& url, bool& is_victoria) {
  const auto command = fmt::format("curl -fsS --max-time 5 '{}/flags' 2>/dev/null", url);
  std::string flags;
  if (FILE* pipe = popen(command.c_str(), "r"); pipe != nullptr) {
    char part[4096];
    while (std::fgets(part, sizeof part, pipe) != nullptr) flags += part;
    pclose(pipe);
  }
  is_victoria = flags.find("dedup.minScrapeInterval") != std::string::npos;
  return flags.find("-dedup.minScrapeInterval=\"0s\"") == std::string::npos;
}

void check_upstream(Findings& findings, const Json::Value& status) {
  for (const auto& sink : status["sinks"]) {
    const auto what = "upstream " + cell(sink["id"]);
    if (!sink["last_error"].isNull()) {
      findings.bad(what, cell(sink["last_error"]),
                   "readings are kept; check the address, the credentials and the link");
      continue;
    }
    findings.good(what, fmt::format("{}, {} segments behind", cell(sink["target"]), cell(sink["behind_segments"])));
    const auto url = cell(sink["target"]);
    if (url.find_first_of("'\\ ") != std::string::npos) continue;
    bool is_victoria = false;
    if (!deduplicates(url, is_victoria) && is_victoria) {
      findings.warn(what, "this VictoriaMetrics keeps samples that are sent again",
                    "start it with -dedup.minScrapeInterval=1ms, or a resend after a crash counts twice");
    }
  }
}

void check_configuration(Findings& findings, const std::string& path) {
  const pid_t child = fork();
  if (child == 0) {
    std::freopen("/dev/null", "w", stdout);
    std::freopen("/dev/null", "w", stderr);
    _exit(check_config(Format::table, path));
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) findings.good("configuration", path + " is good");
  else findings.bad("configuration", path + " is not good", "wattctl check-config says where");
}

}  // namespace

int doctor(Context& context, const std::string& config_path) {
  Findings findings;
  const auto status = context.client.get("/api/v1/status");
  check_clock(findings, status && (*status)["data"]["clock"]["trusted"].asBool());
  if (!status) {
    findings.bad("daemon", status.error().message, "systemctl start wattd");
    check_configuration(findings, config_path);
  } else {
    const auto& data = (*status)["data"];
    findings.good("daemon", fmt::format("wattd {} answers on {}", cell(data["version"]), context.client.socket_path()));
    check_configuration(findings, cell(data["config"]));
    if (!data["clock"]["trusted"].asBool()) {
      findings.bad("held readings", cell(data["clock"]["held_readings"]) + " wait for a clock that is trusted",
                   "nothing that the gateway stamps is sent or counted before");
    }
    const auto& problem = data["pipeline"]["commit_problem"];
    if (problem.isNull())
      findings.good("commits", fmt::format("p95 {:.1f} ms", data["pipeline"]["commit_ms_p95"].asDouble()));
    else findings.bad("commits", cell(problem), "nothing is acknowledged until the disk takes writes again");
    if (!data["storage"]["set_aside"].isNull()) {
      findings.warn("database", cell(data["storage"]["set_aside"]),
                    "keep the file; it can be merged once it is repaired");
    }
    check_disk(findings, cell(data["storage"]["database"]));
    check_links(findings, data);
    check_upstream(findings, data);
    for (const auto& missing : data["missing"]) findings.warn("setup", cell(missing), "");
  }
  findings.print(context.format);
  return findings.failed() ? 1 : 0;
}

}  // namespace wattd::cli
