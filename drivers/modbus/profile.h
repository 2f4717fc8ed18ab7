#pragma once
#include <algorithm>
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

enum class RegisterType { uint16, int16, uint32, int32, uint64, int64, float32, float64, string };

enum class WordOrder { big, little };  ///< Most, or least, significant word first.
/// four_quadrant: a power factor beyond ±1 means leading, and stands for sign(x)·(2 − |x|).
enum class Coding { plain, four_quadrant };
enum class PollClass { fast, slow };
/// alone: not on every variant of the meter, or not answered as part of a block: it gets a request of its own.
enum class Access { read, alone };

/// One measurand of a meter.
struct Register {
  std::string measurand;
  std::string unit;
  int function = 3;  ///< Modbus function code: 3 or 4.
  int address = 0;   ///< As it goes over the wire, counted from 0.
  RegisterType type = RegisterType::uint16;
  int text_registers = 0;  ///< Of a string: two characters each.
  WordOrder word_order = WordOrder::big;
  double offset = 0;  ///< Added to the raw number before it is scaled.
  double scale = 1;   ///< Factor from the raw number to the unit.
  /// Where the exponent of a further power of ten stands, an int16 from -10 to 10. Source: SunSpec, "sunssf".
  std::optional<int> scale_register;
  Access access = Access::read;
  Coding coding = Coding::plain;
  PollClass poll = PollClass::fast;
  bool experimental = false;            ///< Known from one source only; polled when a meter asks for such rows.
  std::vector<std::int64_t> sentinels;  ///< Raw values, of the type's width, that mean "not available".
  CounterRules counter;                 ///< Of a counter; all 0 where nothing is known.

  std::string note;  ///< What is doubtful about it, for people.

  /// How many registers its value takes.
  int count() const;
  /// What has to be read for it, from first() to before end(): its scale register included.
  int first() const { return scale_register ? std::min(address, *scale_register) : address; }
  int end() const { return std::max(address + count(), scale_register ? *scale_register + 1 : 0); }
};

/// Registers in which a meter says what it is.
struct Identity {
  Register place;                    ///< A number, or a text.
  std::vector<std::int64_t> values;  ///< What stands there, one of them,
  std::string text;                  ///< or what is in the text, in capitals or not.
  std::string product;               ///< Instead of registers: within what function 43 answers.
  bool is_telling = false;           ///< It is so rare that nothing else has to fit.

  bool holds(std::span<const std::uint16_t> words) const;
  bool holds(const std::vector<std::string>& names) const;
};

/// The data file that maps a meter's registers to measurands. Format: docs/formats/profile.md.
struct Profile {
  std::string id;
  std::string vendor;
  std::vector<std::string> models;
  int phases = 0;
  bool experimental = false;           ///< Gathered from public sources, never tried on the device.
  std::vector<int> sunspec;            ///< Models whose layout this is; addresses count from the model's header then.
  int max_registers = 60;              ///< The most that one request may ask for.
  int max_gap = 0;                     ///< The most unused registers worth reading to save a request.
  int alignment = 1;                   ///< Starts and counts are multiples of this.
  std::chrono::milliseconds delay{0};  ///< Rest between two requests to this meter.
  std::vector<Register> registers;
  std::vector<Identity> identities;  ///< Each of them is enough.
};

/// `base` is what the table extends.
/// Errors: throws config::ConfigError for anything that is not as the format says, unknown measurands included.
Profile parse_profile(const config::Table& table, Profile base = {});

/// Finds `id`.toml in the directories, the first one that has it. One that extends another takes its rows over and
/// replaces or adds some; it may extend the one of its own name in a later directory.
/// Errors: throws config::ConfigError; the message lists the profiles there are.
Profile load_profile(const std::string& id, const std::vector<std::string>& directories);
/// The ids of all profiles there, sorted.
std::vector<std::string> list_profiles(const std::vector<std::string>& directories);

/// Turns the words of one row into its value; nullopt when the meter says "not available".
/// Shape: exactly count() words. Units: the register's. `exponent` is what its scale register holds.
std::optional<Value> decode(const Register& row, std::span<const std::uint16_t> words, int exponent = 0);
/// The inverse, for simulators: the words that decode to about `value`.
std::vector<std::uint16_t> encode(const Register& row, double value);

}  // namespace wattd::drivers::modbus
