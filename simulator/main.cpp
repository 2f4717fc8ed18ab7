#include "simulator/command_line.h"

int main(int argc, char** argv) { return wattd::simulator::run_wattsim(argc, argv); }
