#include <fmt/format.h>

#include "daemon/command_line.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "daemon/supervise.h"

int main(int argc, char** argv) {
  using namespace wattd;
  const auto line = daemon::parse_command_line(argc, argv);
  if (line.exit_status) return *line.exit_status;
  log::set_writer(&daemon::choose_log_writer());
  try {
    if (!line.check_only) daemon::look_after_bundles(line.config_path, line.config_given);
    auto settings = daemon::load_settings(line.config_path, line.config_given);
    if (line.check_only) {
      fmt::print("{}: the configuration is good\n", line.config_path);
      return 0;
    }
    daemon::block_signals();
    daemon::Daemon gateway(std::move(settings));
    gateway.start_bundles(line.config_given);
    daemon::supervise(gateway, line.config_path, line.config_given);
    return 0;
  } catch (const config::ConfigError& problem) {
    fmt::print(stderr, "{}\n", problem.what());
    return daemon::kConfigurationError;
  } catch (const std::exception& problem) {
    log::error(fmt::format("wattd cannot start: {}", problem.what()));
    return 1;
  }
}
