#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "telemetry/bytes.h"

namespace wattd::storage {

/// How a list of integers is predicted: what is stored is how far each one is from that.
enum class Prediction : std::uint8_t {
  centre = 0,          ///< All lie around one value.
  delta = 1,           ///< Each is the one before plus a step.
  delta_of_delta = 2,  ///< Each step is like the one before.
  line = 3,            ///< They lie around a straight line, as the stamps of a schedule do.
};

/// How the distances are written.
enum class Coding : std::uint8_t {
  none = 0,    ///< There is no distance: the prediction is exact.
  packed = 1,  ///< Blocks of 64 with as many bits each as the widest needs.
  rice = 2,    ///< A few low bits, and the rest in unary.
  runs = 3,    ///< A distance, and how often it comes.
};

/// Writes integers with the prediction and coding that need the fewest bytes; every int64 comes back as it was.
/// Format: docs/formats/chunk.md, "Integers".
void write_integers(ByteWriter& out, std::span<const std::int64_t> values);

/// The same with a prediction and coding of the caller's choice.
void write_integers(ByteWriter& out, std::span<const std::int64_t> values, Prediction prediction, Coding coding);

/// Reads `count` integers.
/// Errors: throws BadBytes; the memory it takes is what `count` needs.
void read_integers(ByteReader& in, std::size_t count, std::vector<std::int64_t>& values);

}  // namespace wattd::storage
