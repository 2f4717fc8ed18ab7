#include "simulator/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "simulator/modbus_server.h"
#include "simulator/play.h"
#include "telemetry/version.h"

namespace wattd::simulator {
namespace {

std::atomic<bool> stop_requested{false};

struct ModbusChoices {
  std::string profile = "eastron-sdm630";
  std::vector<std::string> directories;
  std::string address = "127.0.0.1";
  int port = 0;
  std::string pty;
  std::vector<int> units{1};
  std::uint64_t seed = 1;
};

/// "overheat=0.05"
void add_odds(FaultOdds& odds, const std::vector<std::string>& texts) {
  for (const auto& text : texts) {
    const auto equals = text.find('=');
    const auto fault = fault_from(text.substr(0, equals));
    const double probability = equals == std::string::npos ? -1 : std::atof(text.c_str() + equals + 1);
    if (!fault || probability < 0 || probability > 1) {
      throw CLI::ValidationError(
          fmt::format("--fault {}: expected NAME=PROBABILITY, as in overheat=0.05; names are overheat, "
                      "voltage_spike, current_surge, dropout, stuck, clock_skew, malformed",
                      text));
    }
    odds[*fault] = probability;
  }
}

/// "30:overheat" or "30:overheat:D2"
void add_script(std::vector<ScriptedFault>& script, const std::vector<std::string>& texts) {
  for (const auto& text : texts) {
    const auto colon = text.find(':');
    const auto second = text.find(':', colon == std::string::npos ? colon : colon + 1);
    const auto name = colon == std::string::npos ? std::string{} : text.substr(colon + 1, second - colon - 1);
    const auto fault = fault_from(name);
    if (!fault)
      throw CLI::ValidationError(fmt::format("--at {}: expected SECONDS:FAULT[:DEVICE], as in 30:overheat:D1", text));
    script.push_back({std::atof(text.c_str()), *fault, second == std::string::npos ? "" : text.substr(second + 1)});
  }
}

void add_columns(drivers::replay::ReplayConfig& recording, const std::vector<std::string>& texts) {
  for (const auto& text : texts) {
    const auto equals = text.find('=');
    recording.columns[text.substr(0, equals)] = equals == std::string::npos ? text : text.substr(equals + 1);
  }
}

void add_broker(CLI::App& command, Publisher::Broker& broker) {
  command.add_option("--host", broker.host, "Of the broker (127.0.0.1)");
  command.add_option("--port", broker.port, "Of the broker (1883)");
  command.add_option("--username", broker.username);
  command.add_option("--password", broker.password);
  command.add_option("--ca-file", broker.ca_file, "Use TLS with this CA");
  command.add_option("--client-id", broker.client_id);
}

void serve_meters(const ModbusChoices& choices, const drivers::replay::ReplayConfig& recording) {
  const auto profile = drivers::modbus::load_profile(choices.profile, choices.directories);
  const auto make = [&](int unit) {
    return recording.file.empty() ? Meter(profile, choices.seed + static_cast<std::uint64_t>(unit))
                                  : Meter(profile, recording);
  };
  if (!choices.pty.empty()) {
    auto meter = make(choices.units.front());
    return serve_rtu(choices.pty, choices.units.front(), meter, stop_requested);
  }
  std::map<int, Meter> meters;
  for (const int unit : choices.units) meters.emplace(unit, make(unit));
  serve_tcp(choices.address, choices.port, meters, stop_requested);
}

/// Everything the command line can say.
struct Choices {
  BulbPlay bulbs;
  RecordingPlay recorded;
  drivers::replay::ReplayConfig shown;
  ModbusChoices modbus;
  std::vector<std::string> odds, script, columns;
};

CLI::App* add_mqtt(CLI::App& app, Choices& choices) {
  auto& bulbs = choices.bulbs;
  auto* mqtt = app.add_subcommand("mqtt", "Bulbs with meters that publish telemetry");
  add_broker(*mqtt, bulbs.broker);
  mqtt->add_option("--devices", bulbs.devices, "How many (1)")->check(CLI::Range(1, 100'000));
  mqtt->add_option("--prefix", bulbs.prefix, "Of their ids (D)");
  mqtt->add_option("--interval", bulbs.interval_s,
                   "Seconds between two messages of a device; 0: as fast as possible (5)")
      ->check(CLI::NonNegativeNumber);
  mqtt->add_option("--count", bulbs.count, "Messages a device (without end)");
  mqtt->add_option("--seed", bulbs.seed, "Of all that is random (1)");
  mqtt->add_option_function<std::string>(
      "--start",
      [&bulbs](const std::string& text) {
        bulbs.start = parse_iso8601(text);
        if (!bulbs.start)
          throw CLI::ValidationError("--start " + text + ": expected RFC 3339, as in 2026-02-07T11:26:00Z");
      },
      "Stamp the first message so and count on by the interval; with --seed, every byte is then the same at every run");
  mqtt->add_option("--qos", bulbs.qos, "0 or 1 (1)")->check(CLI::Range(0, 1));
  mqtt->add_option("--fault", choices.odds, "NAME=PROBABILITY a message, as in overheat=0.05");
  mqtt->add_option("--at", choices.script, "SECONDS:FAULT[:DEVICE], as in 30:overheat:D1");
  return mqtt;
}

CLI::App* add_replay(CLI::App& app, Choices& choices) {
  auto& recorded = choices.recorded;
  auto* replay = app.add_subcommand("replay", "A CSV recording, published over MQTT");
  add_broker(*replay, recorded.broker);
  replay->add_option("file", recorded.recording.file, "CSV, plain or gzip")->required();
  replay->add_option("--device", recorded.recording.device_id, "Its id")->required();
  replay->add_option("--column", choices.columns, "COLUMN=FIELD to publish (all)");
  replay->add_option("--time-column", recorded.recording.time_column);
  replay->add_option("--step", recorded.step_s, "Seconds between two stamps; the last is now (1)");
  replay->add_option("--limit", recorded.limit, "Rows (all)");
  return replay;
}

void add_modbus(CLI::App& app, Choices& choices) {
  auto& modbus = choices.modbus;
  modbus.directories = {"/etc/wattd/profiles", "/usr/share/wattd/profiles"};
  auto* server = app.add_subcommand("modbus", "A meter with a profile's registers");
  server->add_option("--profile", modbus.profile, "(eastron-sdm630)");
  server->add_option_function<std::string>(
      "--profiles", [&modbus](const std::string& path) { modbus.directories.insert(modbus.directories.begin(), path); },
      "A directory to look in first");
  server->add_option("--address", modbus.address, "To listen on (127.0.0.1)");
  auto* port = server->add_option("--port", modbus.port, "Modbus TCP");
  server->add_option("--pty", modbus.pty, "Modbus RTU on a pseudo-terminal that this path will point to")
      ->excludes(port);
  server->add_option("--unit", modbus.units, "Unit ids; on a pty the first (1)");
  server->add_option("--seed", modbus.seed);
  server->add_option("--replay", choices.shown.file, "Show a recording's rows, one a poll, and end with it");
  server->add_option("--column", choices.columns, "COLUMN=MEASURAND of the recording");
}

}  // namespace

int run_wattsim(int argc, char** argv) try {
  CLI::App app("wattsim: a plant for the wattd energy gateway to read");
  app.set_version_flag("--version", std::string("wattsim ") + kVersion);
  app.require_subcommand(1);
  Choices choices;
  const auto* mqtt = add_mqtt(app, choices);
  const auto* replay = add_replay(app, choices);
  add_modbus(app, choices);
  app.parse_complete_callback([&choices] {
    add_odds(choices.bulbs.odds, choices.odds);
    add_script(choices.bulbs.script, choices.script);
  });
  CLI11_PARSE(app, argc, argv);

  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { stop_requested = true; });
  if (mqtt->parsed()) {
    fmt::print("{} messages taken by the broker\n", play_bulbs(choices.bulbs, stop_requested));
  } else if (replay->parsed()) {
    add_columns(choices.recorded.recording, choices.columns);
    fmt::print("{} messages taken by the broker\n", play_recording(choices.recorded, stop_requested));
  } else {
    add_columns(choices.shown, choices.columns);
    choices.shown.device_id = "meter";
    if (choices.modbus.port == 0 && choices.modbus.pty.empty())
      throw std::runtime_error("modbus needs --port or --pty");
    serve_meters(choices.modbus, choices.shown);
  }
  return 0;
} catch (const std::exception& problem) {
  fmt::print(stderr, "wattsim: {}\n", problem.what());
  return 1;
}

}  // namespace wattd::simulator
