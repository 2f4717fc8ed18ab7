#pragma once
#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include "drivers/modbus/profile.h"

namespace wattd::drivers::modbus {

/// One read request and the rows whose values lie in its answer.
struct Request {
  int function = 3;
  int address = 0;
  int count = 0;    ///< Registers.
  int padding = 0;  ///< Those of them, at the end, that only make its length its own.
  std::vector<const Register*> rows;
};

/// Registers that may not be read: the meter refuses them. Rows that touch one are left out.
struct Hole {
  int function = 3;
  int from = 0;
  int to = 0;  ///< The first register behind it.
  bool operator==(const Hole&) const = default;
};

/// What is known of the way to a meter beside its profile.
struct Line {
  int baud = 0;           ///< Of a serial line; 0 for TCP, where registers cost next to nothing.
  int max_registers = 0;  ///< A smaller limit than the profile's, if the meter has shown one; 0 for none.
  std::vector<Hole> holes;
};

/// Which rows a turn reads: the slow ones come together with the fast ones, in requests that both may share.
enum class Rows { fast, slow, all };

/// Merges rows into the requests that take the least time together: rows that lie at most
/// `max_gap` registers apart may share a request of at most `max_registers`, aligned as the profile says, that touches
/// no hole. Rows that answer only alone are asked alone.
/// Owns: nothing; the profile must outlive the plan.
std::vector<Request> plan(const Profile& profile, Rows rows, bool experimental, const Line& line = {});

/// Whether a row cannot be read without touching one of the line's holes.
bool touches_hole(const Register& row, const Line& line);

/// Lengthens requests of a meter on a serial line so that no two of one function are of the same length, where the
/// meter tolerates unused registers: an answer's length is then what tells whose it is.
void tell_apart(std::vector<Request*> requests, const Profile& profile);

/// How long the requests take on a serial line, answers and pauses included.
std::chrono::microseconds bus_time(const std::vector<Request>& requests, const Profile& profile, int baud);

/// The words of one row within a request's answer.
std::span<const std::uint16_t> words_of(const Register& row, const Request& request,
                                        std::span<const std::uint16_t> words);
/// Its value there; nullopt when the meter says "not available", also by its scale register.
std::optional<Value> value_in(const Register& row, const Request& request, std::span<const std::uint16_t> words);

}  // namespace wattd::drivers::modbus
