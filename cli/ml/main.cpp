#include "cli/ml/wattml.h"

int main(int argc, char** argv) { return wattd::cli::run_wattml(argc, argv); }
