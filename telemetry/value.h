#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

namespace wattd {

/// What one field said: a number as it was read, a truth value or a text.
/// Integers that fit 64 signed bits stay integers; every other number is a double.
using Value = std::variant<double, std::int64_t, bool, std::string>;

/// The value as a number; nullopt for booleans and texts, which are not samples.
std::optional<double> as_number(const Value& value);
inline bool is_number(const Value& value) { return value.index() < 2; }

/// Appends the shortest decimal that reads back as the same number.
void append_number(std::string& out, double number);
/// The shortest text that reads back as the same value; texts come without quotes.
std::string to_text(const Value& value);

/// A float32 as the double whose shortest decimal is the float's own shortest decimal:
/// 230.1f becomes 230.1, not 230.10000610351562.
double shortest_double(float value);

}  // namespace wattd
