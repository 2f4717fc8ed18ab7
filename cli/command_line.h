#pragma once

namespace wattd::cli {

/// Understands the command line of wattctl, runs the command and returns the exit status.
int run_wattctl(int argc, char** argv);

}  // namespace wattd::cli
