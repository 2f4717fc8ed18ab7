#include "cli/command_line.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <tuple>

#include "cli/commands.h"
#include "telemetry/version.h"

namespace wattd::cli {
namespace {

/// The options of all commands and what they were set to.
struct Choices {
  std::string socket = "/run/wattd/wattd.sock";
  std::string config = "/etc/wattd/wattd.toml";
  bool json = false;
  bool csv = false;
  std::string device;
  int count = 0;
  Query query;
  std::string status;
  std::string rule;
  RuleTest rule_test;
  SilenceTarget silence;
  std::string alert_id;
  std::string file;  ///< Or what else is named.
  std::string who;
  int letters = 50;
  std::int64_t letter = 0;
  std::vector<std::int64_t> letter_ids;
  bool all = false;
  MeterTarget meter;
  BusTarget bus;
  DatabaseTarget database;
  SinkJob sink_job;
  BundleTarget bundle;
};

using Action = std::function<int(Context&, const Choices&)>;

/// Adds a command and what it does.
CLI::App* add(CLI::App& parent, const char* name, const char* help, Action& chosen, Action action) {
  auto* command = parent.add_subcommand(name, help);
  command->callback([&chosen, command, action = std::move(action)] {
    // A command's own callback comes after its subcommand's, which holds.
    if (command->get_subcommands().empty()) chosen = action;
  });
  command->fallthrough();
  return command;
}

void add_reading_commands(CLI::App& app, Choices& choices, Action& chosen) {
  add(app, "status", "What the gateway is doing", chosen,
      [](Context& context, const Choices&) { return show_status(context); });
  add(app, "devices", "Every device it knows", chosen,
      [](Context& context, const Choices&) { return list_devices(context); });
  auto* tail_command = add(app, "tail", "Committed readings as they come", chosen,
                           [](Context& context, const Choices& c) { return tail(context, c.device, c.count); });
  tail_command->add_option("device", choices.device, "Only this device");
  tail_command->add_option("-n,--count", choices.count, "Stop after so many readings");
  auto* query_command = add(app, "query", "Stored readings of a device", chosen,
                            [](Context& context, const Choices& c) { return query(context, c.query); });
  query_command->add_option("device", choices.query.device, "The device")->required();
  query_command->add_option("--fields", choices.query.fields, "Comma separated; all by default");
  query_command->add_option("--from", choices.query.from, "RFC 3339, or so long ago: 15m, 2h, 7d (1h)");
  query_command->add_option("--to", choices.query.to, "Likewise (now)");
  query_command->add_option("--aggregate", choices.query.aggregate,
                            "mean, min, max, sum, count, first, last or energy");
  query_command->add_option("--interval", choices.query.interval, "Of the aggregate: 1m, 15m, 1h, 1d, 1mo, all (1h)");
  query_command->add_option("--limit", choices.query.limit, "At most so many rows, 1 to 10000 (1000)");
}

void add_rule_commands(CLI::App& app, Choices& choices, Action& chosen) {
  auto* rules = app.add_subcommand("rules", "What raises alerts");
  rules->require_subcommand(1)->fallthrough();
  auto* list = add(*rules, "list", "Every rule", chosen,
                   [](Context& context, const Choices& c) { return list_rules(context, c.status, c.device); });
  list->add_option("--status", choices.status, "active, paused or archived");
  list->add_option("--device", choices.device, "Only those that concern this device");
  auto* show = add(*rules, "show", "One, as it would stand in a file", chosen,
                   [](Context& context, const Choices& c) { return show_rule(context, c.rule); });
  auto* added = add(*rules, "add", "Add the [[rules]] of a file", chosen,
                    [](Context& context, const Choices& c) { return add_rules(context, c.file, c.who); });
  added->add_option("file", choices.file, "The file, or - for standard input")->required();
  auto* edit = add(*rules, "edit", "Change one in your editor", chosen,
                   [](Context& context, const Choices& c) { return edit_rule(context, c.rule, c.who); });
  std::vector<CLI::App*> on_one{show, edit};
  for (const auto& [name, help, status] : {std::tuple{"pause", "Judge by it no more, until it is activated", "paused"},
                                           std::tuple{"activate", "Judge by it", "active"},
                                           std::tuple{"archive", "Put it away, with its alerts", "archived"}}) {
    on_one.push_back(add(*rules, name, help, chosen, [status](Context& context, const Choices& c) {
      return set_rule_status(context, c.rule, status, c.who);
    }));
  }
  for (auto* command : on_one)
    command->add_option("rule", choices.rule, "Its name, its id, or the beginning of that")->required();
  auto* test = add(*rules, "test", "When it would have fired", chosen, [](Context& context, const Choices& c) {
    auto wanted = c.rule_test;
    wanted.rule = c.rule;
    return test_rule(context, wanted);
  });
  auto* what = test->add_option_group("what", "The rule")->fallthrough();
  what->add_option("rule", choices.rule, "One that is there");
  what->add_option("--file", choices.rule_test.file, "A file with one [[rules]] table, or - for standard input");
  what->require_option(1);
  test->add_option("--from", choices.rule_test.from, "RFC 3339, or so long ago: 2h, 7d (1d)");
  test->add_option("--to", choices.rule_test.to, "Likewise (now)");
}

void add_alert_commands(CLI::App& app, Choices& choices, Action& chosen) {
  const auto listed = [](Context& context, const Choices& c) { return list_alerts(context, c.status, c.device); };
  auto* alerts = add(app, "alerts", "Alerts", chosen, listed);
  for (auto* command : {alerts, add(*alerts, "list", "The newest first", chosen, listed)}) {
    command->add_option("--status", choices.status, "open, acknowledged, resolved or suppressed");
    command->add_option("--device", choices.device, "Only of this device");
  }
  auto* show = add(*alerts, "show", "One, with who was told and who did what", chosen,
                   [](Context& context, const Choices& c) { return show_alert(context, c.alert_id); });
  auto* ack = add(*alerts, "ack", "Acknowledge an alert", chosen, [](Context& context, const Choices& c) {
    return change_alert(context, c.alert_id, "acknowledge", c.who);
  });
  auto* resolve = add(*alerts, "resolve", "Resolve an alert", chosen, [](Context& context, const Choices& c) {
    return change_alert(context, c.alert_id, "resolve", c.who);
  });
  for (auto* command : {show, ack, resolve})
    command->add_option("alert", choices.alert_id, "Its id, or the beginning of it")->required();
  auto* silence = add(*alerts, "silence", "Tell nobody for a while: maintenance", chosen,
                      [](Context& context, const Choices& c) { return add_silence(context, c.silence, c.who); });
  silence->add_option("alert", choices.silence.alert, "Of this alert's rule and device");
  silence->add_option("--device", choices.silence.devices, "Of these devices (all)");
  silence->add_option("--rule", choices.silence.rules, "By these rules (all)");
  silence->add_option("--minutes", choices.silence.minutes, "How long (60)")->check(CLI::Range(1, 525'600));
  silence->add_option("--comment", choices.silence.comment, "Why");
  for (auto* command : {ack, resolve, silence}) command->add_option("--by", choices.who, "Who does it (you)");
  add(*alerts, "silences", "Those that have not ended", chosen,
      [](Context& context, const Choices&) { return list_silences(context); });
  auto* unsilence = add(*alerts, "unsilence", "End a silence", chosen,
                        [](Context& context, const Choices& c) { return end_silence(context, c.alert_id, c.who); });
  unsilence->add_option("silence", choices.alert_id, "Its id")->required();
}

void add_notify_commands(CLI::App& app, Choices& choices, Action& chosen) {
  auto* notify = app.add_subcommand("notify", "Who is told of alerts");
  notify->require_subcommand(1)->fallthrough();
  add(*notify, "channels", "How they are doing", chosen,
      [](Context& context, const Choices&) { return list_channels(context); });
  auto* log = add(*notify, "log", "Every message and what became of it, the newest first", chosen,
                  [](Context& context, const Choices& c) { return list_notifications(context, c.status, c.letters); });
  log->add_option("--status", choices.status, "pending, sent, failed or bounced");
  log->add_option("--limit", choices.letters, "At most so many (50)")->check(CLI::Range(1, 10'000));
  auto* test = add(*notify, "test", "Send a test message", chosen,
                   [](Context& context, const Choices& c) { return test_channel(context, c.file, c.device); });
  test->add_option("channel", choices.file, "Its id")->required();
  test->add_option("--to", choices.device, "To this recipient alone");
}

void add_dead_letter_commands(CLI::App& app, Choices& choices, Action& chosen) {
  auto* letters = app.add_subcommand("dead-letters", "Messages that were refused");
  letters->require_subcommand(1)->fallthrough();
  auto* list = add(*letters, "list", "The newest first", chosen,
                   [](Context& context, const Choices& c) { return list_dead_letters(context, c.letters); });
  list->add_option("--limit", choices.letters, "At most so many, 1 to 1000 (50)");
  auto* show = add(*letters, "show", "One, with its payload", chosen,
                   [](Context& context, const Choices& c) { return show_dead_letter(context, c.letter); });
  show->add_option("id", choices.letter, "Its id")->required();
  auto* replay =
      add(*letters, "replay", "Send it through the pipeline again", chosen,
          [](Context& context, const Choices& c) { return replay_dead_letters(context, c.letter_ids, c.all); });
  replay->add_option("ids", choices.letter_ids, "Their ids");
  replay->add_flag("--all", choices.all, "Every one not replayed yet, oldest first, at most 1000");
}

/// Where the line is and how it is spoken to.
void add_line_options(CLI::App& command, MeterTarget& target, int timeout_ms, bool through_daemon) {
  auto* line = command.add_option_group("line", "Where the meters are")->fallthrough();
  auto* tcp = line->add_option("--tcp", target.tcp, "host[:port] of a Modbus TCP meter or gateway");
  line->add_option("--serial", target.serial, "Serial device of an RTU line");
  if (through_daemon)
    line->add_option("--bus", target.bus, "A bus of the running daemon, which asks between two turns of its own");
  line->require_option(1);
  command
      .add_flag("--rtu-over-tcp", target.rtu_over_tcp, "Serial frames on the TCP connection, as serial servers speak")
      ->needs(tcp);
  command.add_option("--baud", target.baud, "Of the serial line (9600)");
  command.add_option("--parity", target.parity, "none, even or odd (none)")
      ->check(CLI::IsMember({"none", "even", "odd"}));
  command.add_option("--stop-bits", target.stop_bits, "1 or 2 (1)")->check(CLI::Range(1, 2));
  auto* timeout =
      command.add_option("--timeout", target.timeout_ms, fmt::format("For the first byte, in ms ({})", timeout_ms))
          ->check(CLI::Range(50, through_daemon ? 2000 : 30000));
  command.preparse_callback([timeout, &target, timeout_ms](std::size_t) {
    if (timeout->count() == 0) target.timeout_ms = timeout_ms;
  });
}

void add_meter_commands(CLI::App& app, Choices& choices, Action& chosen) {
  auto* meter = app.add_subcommand("meter", "Meters on Modbus, read directly");
  meter->require_subcommand(1)->fallthrough();
  auto& target = choices.meter;
  target.profile_directories = {"/etc/wattd/profiles", "/usr/share/wattd/profiles"};
  auto* read = add(*meter, "read", "Read a meter once, with raw words", chosen,
                   [](Context& context, const Choices& c) { return read_meter(context, c.meter); });
  auto* explain = add(*meter, "explain", "How a meter will be asked", chosen,
                      [](Context& context, const Choices& c) { return explain_meter(context, c.meter); });
  auto* profiles = add(*meter, "profiles", "The profiles there are", chosen,
                       [](Context& context, const Choices& c) { return list_meter_profiles(context, c.meter); });
  auto* scan = add(*meter, "scan", "Look which meters are on a line; reads only", chosen,
                   [](Context& context, const Choices& c) { return scan_meters(context, c.meter); });
  auto* probe = add(*meter, "probe", "Find out how a line wants to be spoken to; reads only", chosen,
                    [](Context& context, const Choices& c) { return probe_line(context, c.meter); });
  for (auto* command : {read, explain}) {
    command->add_option("profile", target.profile, "As in wattctl meter profiles")->required();
    command->add_flag("--experimental", target.experimental, "Rows known from one source only, too");
  }
  for (auto* command : {read, explain, profiles, scan}) {
    command->add_option_function<std::string>(
        "--profiles",
        [&target](const std::string& path) {
          target.profile_directories.insert(target.profile_directories.begin(), path);
        },
        "A directory of profiles to look in first");
  }
  read->add_flag("--orders", target.orders, "What the words say in every order, beside what a plant may have");
  explain->add_option("--baud", target.baud, "Of the serial line (9600)");
  scan->add_option("--units", target.units, "To ask, such as 1-10,247 (1-247)");
  read->add_option("--instance", target.instance, "Which of several SunSpec models of one kind (1)")
      ->check(CLI::Range(1, 20));
  for (auto* command : {read, probe})
    command->add_option("--unit", target.unit, "Unit id (1)")->check(CLI::Range(1, 255));
  add_line_options(*read, target, 1000, true);
  add_line_options(*scan, target, 250, true);
  add_line_options(*probe, target, 250, false);
}

void add_bus_commands(CLI::App& app, Choices& choices, Action& chosen) {
  auto* bus = app.add_subcommand("bus", "Buses of the running daemon");
  bus->require_subcommand(1)->fallthrough();
  auto* trace = add(*bus, "trace", "The frames on a bus as they pass, decoded; disturbs nothing", chosen,
                    [](Context& context, const Choices& c) { return trace_bus(context, c.bus); });
  trace->add_option("bus", choices.bus.bus, "Its id, as in wattctl status")->required();
  trace->add_option("--seconds", choices.bus.seconds, "How long (10)")->check(CLI::Range(1, 86'400));
  trace->add_option("--pcap", choices.bus.pcap, "A file for Wireshark");
}

void add_database_commands(CLI::App& app, Choices& choices, Action& chosen) {
  auto* db = app.add_subcommand("db", "Look after the database");
  db->require_subcommand(1)->fallthrough();
  auto& target = choices.database;
  auto* check = add(*db, "check", "Read every page, segment and chunk; beside the daemon, too", chosen,
                    [](Context& context, const Choices& c) { return check_database(context, c.database); });
  check->add_option("file", target.file, "A database (the newest in the directory)");
  auto* backup = add(*db, "backup", "Copy the database while the daemon runs", chosen,
                     [](Context& context, const Choices& c) { return back_up_database(context, c.database); });
  backup->add_option("file", target.target, "Where to; the daemon writes it (its backups directory)");
  auto* restore = add(*db, "restore", "Put a copy in the place of the database; the daemon has to be stopped", chosen,
                      [](Context& context, const Choices& c) { return restore_database(context, c.database); });
  restore->add_option("file", target.file, "The copy")->required();
  auto* salvage = add(*db, "salvage", "Copy what can still be read of a damaged database into a new one", chosen,
                      [](Context& context, const Choices& c) { return salvage_database(context, c.database); });
  salvage->add_option("file", target.file, "The damaged one")->required();
  salvage->add_option("target", target.target, "The new one")->required();
  auto* merge = add(*db, "merge", "Take the readings of another database in; the daemon has to be stopped", chosen,
                    [](Context& context, const Choices& c) { return merge_database(context, c.database); });
  merge->add_option("file", target.file, "The other one, such as one that was set aside and salvaged")->required();
  auto* vacuum = add(*db, "vacuum", "Make the file as small as its content; the daemon has to be stopped", chosen,
                     [](Context& context, const Choices& c) { return vacuum_database(context, c.database); });
  for (auto* command : {check, restore, merge, vacuum})
    command->add_option("--directory", target.directory, "Of the data (/var/lib/wattd)");
  for (auto* command : {check, restore, salvage, merge})
    command->add_option("--key-file", target.keys,
                        "The keys that it is sealed with, one a line, as [storage] key has them");
}

void add_sync_commands(CLI::App& app, Choices& choices, Action& chosen) {
  auto* sync = app.add_subcommand("sync", "What goes upstream");
  sync->require_subcommand(1)->fallthrough();
  add(*sync, "status", "Every sink, how far behind it is, and what it is asked to do", chosen,
      [](Context& context, const Choices&) { return sync_status(context); });
  auto& job = choices.sink_job;
  std::vector<CLI::App*> named;
  const auto add_named = [&](const char* name, const char* help, Action action) {
    named.push_back(add(*sync, name, help, chosen, std::move(action)));
    return named.back();
  };
  const auto add_job = [&](const char* name, const char* help) {
    return add_named(name, help, [kind = std::string(name)](Context& context, const Choices& c) {
      auto asked = c.sink_job;
      asked.kind = kind;
      return run_job(context, asked);
    });
  };
  add_named("cursor", "How far it is, in numbers of segments",
            [](Context& context, const Choices& c) { return sync_cursor(context, c.sink_job.sink); });
  add_named("pause", "Send nothing until it is resumed, over restarts, too",
            [](Context& context, const Choices& c) { return pause_sink(context, c.sink_job.sink, true); });
  add_named("resume", "Go on",
            [](Context& context, const Choices& c) { return pause_sink(context, c.sink_job.sink, false); });
  add_job("test", "Whether it can be reached and takes readings; sends none");
  auto* backfill = add_job("backfill", "Send what is stored of a range again, under the same keys");
  auto* verify = add_job("verify", "Compare with upstream, hour by hour, and send again what is missing there");
  verify->add_flag("--dry-run", job.dry_run, "Compare alone");
  add_named("cancel", "Break off what test, backfill or verify is doing",
            [](Context& context, const Choices& c) { return cancel_job(context, c.sink_job.sink); });
  for (auto* command : named) command->add_option("sink", job.sink, "Its id, as in wattctl sync status")->required();
  for (auto* command : {backfill, verify}) {
    command->add_option("--from", job.from, "RFC 3339, or so long ago: 90m, 12h, 7d (1d); whole hours");
    command->add_option("--to", job.to, "The same (now)");
  }
}

void add_fleet_commands(CLI::App& app, Choices& choices, Action& chosen) {
  auto& target = choices.bundle;
  auto* bundle = app.add_subcommand("bundle", "Configuration that a fleet fetches");
  bundle->require_subcommand(1)->fallthrough();
  auto* seal = add(*bundle, "seal", "Sign the files of a directory: conf.d/*.toml and profiles/*.toml", chosen,
                   [](Context&, const Choices& c) { return seal_bundle(c.bundle); });
  seal->add_option("directory", target.path, "Where they lie")->required();
  seal->add_option("--key", target.key, "The private Ed25519 key, as PEM")->required();
  seal->add_option("--serial", target.serial, "Higher than that of the one before")->required();
  seal->add_option("--gateway", target.gateways, "The id of one that it is for; may be given again (any)");
  seal->add_option("--expires", target.expires, "RFC 3339: not taken from then on");
  seal->add_option("--out", target.out, "The bundle")->required();
  auto* show = add(*bundle, "show", "What is in a bundle, once its signature is found good", chosen,
                   [](Context& context, const Choices& c) { return show_bundle(context, c.bundle); });
  show->add_option("file", target.path, "The bundle")->required();
  show->add_option("--key", target.key, "The public key, as PEM")->required();
  auto* diagnostics =
      add(app, "diagnostics", "All that somebody far away needs to tell what is wrong, as one JSON document", chosen,
          [](Context& context, const Choices& c) { return write_diagnostics(context, c.file); });
  diagnostics->add_option("--out", choices.file, "The file (standard output)");
}

std::string current_user() {
  const char* login = getlogin();
  return login != nullptr ? login : "uid " + std::to_string(getuid());
}

}  // namespace

int run_wattctl(int argc, char** argv) {
  CLI::App app("wattctl: ask and steer the wattd energy gateway");
  Choices choices;
  choices.who = current_user();
  Action chosen;
  app.require_subcommand(1)->fallthrough();
  app.set_version_flag("--version", std::string("wattctl ") + kVersion);
  app.add_option("--socket", choices.socket, "The daemon's socket")->envname("WATTD_SOCKET");
  auto* json = app.add_flag("--json", choices.json, "Answer in JSON");
  app.add_flag("--csv", choices.csv, "Answer in CSV")->excludes(json);
  add_reading_commands(app, choices, chosen);
  add_rule_commands(app, choices, chosen);
  add_alert_commands(app, choices, chosen);
  add_notify_commands(app, choices, chosen);
  add_dead_letter_commands(app, choices, chosen);
  add_sync_commands(app, choices, chosen);
  add_meter_commands(app, choices, chosen);
  add_bus_commands(app, choices, chosen);
  add_database_commands(app, choices, chosen);
  add_fleet_commands(app, choices, chosen);
  for (auto* command : {add(app, "check-config", "Read the configuration as the daemon would", chosen,
                            [](Context& context, const Choices& c) { return check_config(context.format, c.config); }),
                        add(app, "doctor", "Look at clock, disk, permissions, brokers, buses and upstreams", chosen,
                            [](Context& context, const Choices& c) { return doctor(context, c.config); })}) {
    command->add_option("--config", choices.config, "Configuration file (/etc/wattd/wattd.toml)");
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    return app.exit(problem) == 0 ? 0 : 2;
  }
  Context context{Client(choices.socket), choices.json ? Format::json : choices.csv ? Format::csv : Format::table};
  return chosen(context, choices);
}

}  // namespace wattd::cli
