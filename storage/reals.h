#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "telemetry/bytes.h"

namespace wattd::storage {

/// A double as a decimal: `digits` times ten to the minus `places` is the very same double.
struct Decimal {
  std::int64_t digits = 0;
  int places = 0;
};

/// The decimal with the fewest places, at most 15, whose double is `value` to the bit.
/// Errors: false for what no short decimal says: not a number, infinities, minus zero, full mantissas.
bool to_decimal(double value, Decimal& decimal);
double from_decimal(Decimal decimal);

/// Tries to scale all of `values` to integers at so many places.
/// Shape: `digits` is as long as `values`; where a value cannot be scaled it is 0.
/// Returns how many could not.
std::size_t scale(std::span<const double> values, int places, std::int64_t* digits);

/// Writes doubles, as decimal integers where they are decimals and by XOR with the one before where they are not.
/// Every bit comes back. Format: docs/formats/chunk.md, "Reals".
/// Source: T. Pelkonen et al., Gorilla: a fast, scalable, in-memory time series database, VLDB 2015, section 4.1.2.
void write_reals(ByteWriter& out, std::span<const double> values);

/// Reads `count` doubles.
/// Errors: throws BadBytes; the memory it takes is what `count` needs.
void read_reals(ByteReader& in, std::size_t count, std::vector<double>& values);

/// One number, in as few bytes as it needs.
void write_number(ByteWriter& out, double value);
double read_number(ByteReader& in);

}  // namespace wattd::storage
