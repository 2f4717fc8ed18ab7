#pragma once
#include "daemon/daemon.h"

namespace wattd::daemon {

/// Blocks the signals that supervise() waits for; call before any thread starts.
void block_signals();

/// Tells systemd that the gateway is ready, feeds its watchdog while the pipeline makes progress, reloads at
/// SIGHUP, and returns at SIGTERM or SIGINT.
void supervise(Daemon& daemon, const std::string& config_path, bool must_exist);

}  // namespace wattd::daemon
