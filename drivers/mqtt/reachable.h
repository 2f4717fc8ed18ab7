#pragma once
#include <chrono>
#include <string>

namespace wattd::drivers::mqtt {

/// Why no TCP connection to the host and port comes about in time; empty when one does.
std::string unreachable_because(const std::string& host, int port, std::chrono::milliseconds patience);

}  // namespace wattd::drivers::mqtt
