#pragma once

namespace wattd::simulator {

/// Understands the command line of wattsim, plays what was asked for and returns the exit status.
int run_wattsim(int argc, char** argv);

}  // namespace wattd::simulator
