#include "storage/rollup_bytes.h"

#include <fmt/format.h>

#include "storage/envelope.h"
#include "storage/reals.h"
#include "telemetry/bytes.h"
#include "telemetry/log.h"

namespace wattd::storage {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kBefore = 0x80;
enum Flags : std::uint8_t { kNumbers = 1, kCovered = 2, kCoverage = 4, kEnergy = 8 };

void write(ByteWriter& out, const CounterReading& reading) {
  out.zigzag_varint(to_unix_us(reading.at));
  out.real(reading.value);
}

CounterReading read_reading(ByteReader& in) {
  const auto at = from_unix_us(in.zigzag_varint());
  return {at, in.real()};
}

}  // namespace

std::vector<std::uint8_t> encode_rollup(const Rollup& rollup) {
  const auto coverage = rollup.coverage == 1 ? kCovered : rollup.coverage == 0 ? 0 : kCoverage;
  ByteWriter body;
  body.byte(static_cast<std::uint8_t>((rollup.count > 0 ? kNumbers : 0) | coverage | (rollup.milli ? kEnergy : 0)));
  body.varint(static_cast<std::uint16_t>(rollup.quality));
  if (rollup.count > 0) {
    body.varint(static_cast<std::uint64_t>(rollup.count));
    for (const auto value : {rollup.min, rollup.max, rollup.sum, rollup.first, rollup.last}) write_number(body, value);
  }
  if (coverage == kCoverage) body.real(rollup.coverage);
  if (rollup.milli) body.zigzag_varint(*rollup.milli);
  ByteWriter out;
  out.byte(kVersion), out.word(checksum(kVersion, body.bytes()));
  out.raw(body.bytes().data(), body.bytes().size());
  return std::move(out.bytes());
}

void decode_rollup(std::span<const std::uint8_t> bytes, Rollup& rollup) {
  ByteReader in(bytes);
  if (in.byte() != kVersion) throw BadBytes("a rollup of an unknown version");
  if (const auto sum = in.word(); sum != checksum(kVersion, in.peek())) throw BadBytes("the checksum does not fit");
  const auto flags = in.byte();
  rollup.quality = static_cast<Quality>(in.varint());
  if ((flags & kNumbers) != 0) {
    rollup.count = static_cast<std::int64_t>(in.varint());
    for (auto* value : {&rollup.min, &rollup.max, &rollup.sum, &rollup.first, &rollup.last}) *value = read_number(in);
  }
  if ((flags & kCovered) != 0) rollup.coverage = 1;
  if ((flags & kCoverage) != 0) rollup.coverage = in.real();
  if ((flags & kEnergy) != 0) rollup.milli = in.zigzag_varint();
}

std::vector<std::uint8_t> encode_counter(const Counter::State& state) {
  ByteWriter out;
  const auto count = state.accepted ? 1 + state.held.size() : 0;
  out.byte(static_cast<std::uint8_t>(count | (state.before ? kBefore : 0)));
  if (state.accepted) write(out, *state.accepted);
  for (const auto& held : state.held) write(out, held);
  if (state.before) {
    write(out, *state.before);
    out.zigzag_varint(state.since);
  }
  return std::move(out.bytes());
}

Counter::State decode_counter(std::span<const std::uint8_t> bytes) {
  Counter::State state;
  try {
    ByteReader in(bytes);
    const auto count = in.byte();
    for (int i = 0; i < (count & ~kBefore); ++i) {
      const auto reading = read_reading(in);
      if (i == 0) state.accepted = reading;
      else state.held.push_back(reading);
    }
    if ((count & kBefore) != 0) {
      state.before = read_reading(in);
      state.since = in.zigzag_varint();
    }
  } catch (const BadBytes& problem) {
    log::error(fmt::format("the state of a counter is damaged and begins anew: {}", problem.what()));
    return {};
  }
  return state;
}

}  // namespace wattd::storage
