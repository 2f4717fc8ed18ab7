#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "storage/rollup.h"
#include "telemetry/counter.h"

namespace wattd::storage {

/// What a rollup says, but for its beginning. Every bit comes back. Format: docs/formats/rollup.md.
std::vector<std::uint8_t> encode_rollup(const Rollup& rollup);
/// Errors: throws BadBytes for damaged ones and for versions from the future; `rollup` may be half read then.
void decode_rollup(std::span<const std::uint8_t> bytes, Rollup& rollup);

/// The stored state of a counter. Format: docs/formats/rollup.md, "Where a counter stands".
std::vector<std::uint8_t> encode_counter(const Counter::State& state);
/// Damaged ones begin anew, with a line in the log.
Counter::State decode_counter(std::span<const std::uint8_t> bytes);

}  // namespace wattd::storage
