#pragma once
#include <atomic>
#include <map>
#include <string>

#include "simulator/meter.h"

namespace wattd::simulator {

/// Serves meters over Modbus TCP by unit id until `stop` is set or a recording has ended. Every client is served.
/// Errors: throws std::runtime_error when the port cannot be had.
void serve_tcp(const std::string& address, int port, std::map<int, Meter>& meters, const std::atomic<bool>& stop);

/// Serves one meter over Modbus RTU on a new pseudo-terminal, to which `link` points.
/// Errors: throws std::runtime_error.
void serve_rtu(const std::string& link, int unit, Meter& meter, const std::atomic<bool>& stop);

}  // namespace wattd::simulator
