#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/table.h"
#include "telemetry/counter.h"
#include "telemetry/value.h"

namespace wattd::drivers::modbus {

enum class RegisterType { uint16, int16, uint32, int32, uint64, int64, float32, float64 };
/// How many 16-bit registers the type takes.
int register_count(RegisterType type);

enum class WordOrder { big, little };  ///< Most, or least, significant word first.
/// four_quadrant: a power factor beyond ±1 means leading, and stands for sign(x)·(2 − |x|).
enum class Coding { plain, four_quadrant };
enum class PollClass { fast, slow };

/// One measurand of a meter.
struct Register {
  std::string measurand;
  std::string unit;
  int function = 3;  ///< Modbus function code: 3 or 4.
  int address = 0;   ///< As it goes over the wire, counted from 0.
  RegisterType type = RegisterType::uint16;
  WordOrder word_order = WordOrder::big;
  double scale = 1;  ///< Factor from the raw number to the unit.
  Coding coding = Coding::plain;
  PollClass poll = PollClass::fast;
  bool experimental = false;            ///< Known from one source only; polled when a meter asks for such rows.
  std::vector<std::int64_t> sentinels;  ///< Raw values that mean "not available".
  CounterRules counter;                 ///< Of a counter; all 0 where nothing is known.

  int end() const { return address + register_count(type); }
};

/// The data file that maps a meter's registers to measurands. Format: docs/formats/profile.md.
struct Profile {
  std::string id;
  std::string vendor;
  std::vector<std::string> models;
  int phases = 0;
  int max_registers = 60;              ///< The most that one request may ask for.
  int max_gap = 0;                     ///< The most unused registers worth reading to save a request.
  int alignment = 1;                   ///< Starts and counts are multiples of this.
  std::chrono::milliseconds delay{0};  ///< Rest between two requests to this meter.
  std::vector<Register> registers;
};

/// Errors: throws config::ConfigError for anything that is not as the format says, unknown measurands included.
Profile parse_profile(const config::Table& table);

/// Finds `id`.toml in the directories, the first one that has it.
/// Errors: throws config::ConfigError; the message lists the profiles there are.
Profile load_profile(const std::string& id, const std::vector<std::string>& directories);
/// The ids of all profiles there, sorted.
std::vector<std::string> list_profiles(const std::vector<std::string>& directories);

/// Turns the words of one register into its value; nullopt when the meter says "not available".
/// Shape: exactly register_count(type) words. Units: the register's.
std::optional<Value> decode(const Register& row, std::span<const std::uint16_t> words);
/// The inverse, for simulators: the words that decode to about `value`.
std::vector<std::uint16_t> encode(const Register& row, double value);

}  // namespace wattd::drivers::modbus
