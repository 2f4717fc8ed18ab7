#pragma once
#include <optional>
#include <string>

namespace wattd::daemon {

/// systemd does not restart the unit on this one (RestartPreventExitStatus).
inline constexpr int kConfigurationError = 6;

struct CommandLine {
  std::string config_path = "/etc/wattd/wattd.toml";
  bool config_given = false;
  bool check_only = false;
  std::optional<int> exit_status;  ///< Set when there is nothing more to do.
};

/// Understands --config, --check-config, --version and --help, and says what else it was given.
CommandLine parse_command_line(int argc, char** argv);

}  // namespace wattd::daemon
