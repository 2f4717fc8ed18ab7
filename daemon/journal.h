#pragma once
#include "telemetry/log.h"

namespace wattd::daemon {

/// The journal under systemd, with entries as fields; otherwise lines on standard error, which a terminal shows
/// with the time and a colour, and a pipe gets with syslog's `<N>` in front.
/// Owns: nothing; lives as long as the process.
log::Writer& choose_log_writer();

}  // namespace wattd::daemon
