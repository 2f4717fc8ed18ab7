#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "drivers/modbus/link.h"
#include "drivers/modbus/profile.h"

namespace wattd::drivers::modbus {

/// A profile that what a unit says makes sense in.
struct Candidate {
  std::string profile;
  std::vector<std::string> models;
  bool experimental = false;
  bool identified = false;                             ///< The unit itself says so.
  bool is_model = false;                               ///< One of the SunSpec models that the unit lists,
  int instance = 1;                                    ///< of several of this kind.
  int plausible = 0;                                   ///< Rows whose values are what a plant may have.
  int idle = 0;                                        ///< Rows that are 0, as many are while nothing runs.
  int doubtful = 0;                                    ///< Rows that are refused, or whose values no plant has.
  std::vector<std::pair<std::string, double>> values;  ///< A few, for a person to compare with the display.
};

/// Finds out what answers at a unit, reading only: no writes, no broadcasts, functions 3, 4 and 43.
/// Threads: one.
class Scanner {
 public:
  /// pause: before every request, so that a line's other users and slow meters have their rest.
  Scanner(Link& link, std::vector<Profile> profiles, std::chrono::milliseconds pause)
      : link_(link), profiles_(std::move(profiles)), pause_(pause) {}

  /// Whether anybody answers at a unit, be it with a refusal. A gateway's word that nobody does counts as silence.
  /// Errors: retry when the line itself cannot be used.
  bool is_there(int unit);
  /// The profiles that fit, the best first; voltage and frequency have to be plausible both. At most `most`,
  /// and every SunSpec model.
  std::vector<Candidate> identify(int unit, std::size_t most);
  /// What the last request that went unanswered said.
  const std::string& last_error() const { return last_error_; }

 private:
  using Words = Result<std::vector<std::uint16_t>>;

  const Words& read(int unit, int function, int address, int count);
  std::optional<double> value_of(int unit, const Profile& profile, const Register& row, int base);
  const std::vector<std::string>& names_of(int unit);
  bool says_so(int unit, const Profile& profile, bool telling);
  bool may_fit(int unit, const Profile& profile, int base);
  Candidate judge(int unit, const Profile& profile, int base);

  Link& link_;
  std::vector<Profile> profiles_;
  std::chrono::milliseconds pause_;
  std::map<std::tuple<int, int, int, int>, Words> known_;
  std::map<int, std::vector<std::string>> names_;
  int silent_in_a_row_ = 0;
  std::string last_error_;
};

/// What a plant may have of a measurand, in its unit.
struct PlausibleRange {
  double least = 0, most = 0;
};
/// Errors: nullopt where nobody can tell.
std::optional<PlausibleRange> plausible_range(std::string_view measurand);

/// What a row's words say if the least significant word comes first, the bytes within words are swapped, or both.
struct InOrder {
  bool least_word_first = false;
  bool bytes_swapped = false;
  std::optional<double> value;  ///< None for a sentinel, and for what is no number.
};
/// Shape: four orders, two of a single word; none of a text.
std::vector<InOrder> in_every_order(const Register& row, std::span<const std::uint16_t> words, int exponent = 0);

/// Whether a plant may have such a value of a measurand; nullopt where nobody can tell.
std::optional<bool> is_plausible(std::string_view measurand, double value);

}  // namespace wattd::drivers::modbus
