#pragma once
#include <vector>

#include "drivers/modbus/profile.h"

namespace wattd::drivers::modbus {

/// One read request and the rows whose values lie in its answer.
struct Request {
  int function = 3;
  int address = 0;
  int count = 0;  ///< Registers.
  std::vector<const Register*> rows;
};

/// Merges the rows of one poll class into as few requests as the meter's limits allow: rows that lie at most
/// `max_gap` registers apart share a request of at most `max_registers`, aligned as the profile says.
/// Owns: nothing; the profile must outlive the plan.
std::vector<Request> plan(const Profile& profile, PollClass poll, bool experimental);

/// How long the requests take on a serial line, answers and pauses included.
std::chrono::microseconds bus_time(const std::vector<Request>& requests, const Profile& profile, int baud);

}  // namespace wattd::drivers::modbus
