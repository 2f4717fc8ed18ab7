#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

/// What stands around the bytes of every model. Source: docs/formats/model.md.
struct Envelope {
  std::string kind;          ///< `isolation-forest`, `cox` …
  std::uint8_t version = 1;  ///< Of that kind's body.
  std::span<const std::uint8_t> body;
};

/// A model's file. Errors: none.
std::vector<std::uint8_t> seal(std::string_view kind, std::uint8_t version, std::span<const std::uint8_t> body);

/// What a file claims to hold, after its checksum was found right. Owns: the body is a view into `file`.
/// Errors: corrupt, for what is no model file, was cut short or altered; unsupported, for a newer format.
Result<Envelope> unseal(std::span<const std::uint8_t> file);

/// A model that can be kept: a kind, a version, and a body that `write` makes and `read` takes (which throws BadBytes).
template <class M>
concept Kept = requires(const M& model, ByteWriter& out, ByteReader& in) {
  { M::kKind } -> std::convertible_to<std::string_view>;
  { M::kVersion } -> std::convertible_to<std::uint8_t>;
  model.write(out);
  { M::read(in) } -> std::same_as<M>;
};

template <Kept M>
std::vector<std::uint8_t> encode(const M& model) {
  ByteWriter body;
  model.write(body);
  return seal(M::kKind, M::kVersion, body.bytes());
}

/// Errors: corrupt or unsupported, as unseal() has them, and corrupt when the body is not such a model's.
template <Kept M>
Result<M> decode(std::span<const std::uint8_t> file) {
  auto envelope = unseal(file);
  if (!envelope) return std::unexpected(envelope.error());
  if (envelope->kind != M::kKind) {
    return fail(ErrorKind::corrupt,
                "the file holds a model of kind " + envelope->kind + ", expected " + std::string(M::kKind));
  }
  if (envelope->version > M::kVersion)
    return fail(ErrorKind::unsupported, "the model was written by a newer version of wattd");
  try {
    ByteReader in(envelope->body);
    auto model = M::read(in);
    if (in.remaining() != 0) return fail(ErrorKind::corrupt, "bytes follow the model");
    return model;
  } catch (const BadBytes& bad) {
    return fail(ErrorKind::corrupt, std::string("not a model: ") + bad.what());
  }
}

/// Numbers that have to be numbers: NaN and infinity in a file are refused. Errors: throws BadBytes.
double read_finite(ByteReader& in);
float read_finite_float(ByteReader& in);
void write_reals(ByteWriter& out, std::span<const double> values);
std::vector<double> read_reals(ByteReader& in);
void write_floats(ByteWriter& out, std::span<const float> values);
std::vector<float> read_floats(ByteReader& in);
/// Exactly as many as there are places.
void read_floats_into(ByteReader& in, std::span<float> values);

}  // namespace wattd::ml
