#include "cli/command_line.h"

int main(int argc, char** argv) { return wattd::cli::run_wattctl(argc, argv); }
