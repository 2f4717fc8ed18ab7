#include "daemon/command_line.h"

#include <fmt/format.h>

#include <string_view>

#include "telemetry/version.h"

namespace wattd::daemon {
namespace {

constexpr std::string_view kUsage =
    "wattd: energy gateway\n\n"
    "  --config PATH    the configuration (default /etc/wattd/wattd.toml, with conf.d/*.toml beside it)\n"
    "  --check-config   read it, say what is wrong, and exit: 0 when it is good, 6 when it is not\n"
    "  --version\n"
    "  --help\n";

}  // namespace

CommandLine parse_command_line(int argc, char** argv) {
  CommandLine line;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    if (argument == "--config" && i + 1 < argc) {
      line.config_path = argv[++i];
      line.config_given = true;
    } else if (argument == "--check-config") {
      line.check_only = true;
    } else if (argument == "--version") {
      fmt::print("wattd {}\n", kVersion);
      line.exit_status = 0;
    } else if (argument == "--help") {
      fmt::print("{}", kUsage);
      line.exit_status = 0;
    } else {
      fmt::print(stderr, "wattd: {:?} is not understood\n\n{}", argument, kUsage);
      line.exit_status = 2;
    }
  }
  return line;
}

}  // namespace wattd::daemon
