#include "ml-lite/model_file.h"

#include <fmt/format.h>
#include <zlib.h>

#include <cmath>

namespace wattd::ml {
namespace {

constexpr std::string_view kMagic = "wattml\n";
constexpr std::uint8_t kFormat = 1;

std::uint32_t checksum(std::span<const std::uint8_t> bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, bytes.data(), bytes.size()));
}

}  // namespace

std::vector<std::uint8_t> seal(std::string_view kind, std::uint8_t version, std::span<const std::uint8_t> body) {
  ByteWriter out;
  out.raw(kMagic.data(), kMagic.size());
  out.byte(kFormat);
  out.text(kind);
  out.byte(version);
  out.varint(body.size());
  out.raw(body.data(), body.size());
  out.word(checksum(out.bytes()));
  return std::move(out.bytes());
}

Result<Envelope> unseal(std::span<const std::uint8_t> file) {
  const std::string_view start(reinterpret_cast<const char*>(file.data()), std::min(file.size(), kMagic.size()));
  if (start != kMagic || file.size() < kMagic.size() + 5) return fail(ErrorKind::corrupt, "not a model file");
  if (file[kMagic.size()] > kFormat) {
    return fail(ErrorKind::unsupported,
                fmt::format("model format {} is newer than this program's, {}", file[kMagic.size()], kFormat));
  }
  const auto sealed = file.first(file.size() - 4);
  ByteReader end(file.last(4));
  if (end.word() != checksum(sealed))
    return fail(ErrorKind::corrupt, "the model file is damaged: its checksum does not hold");
  try {
    ByteReader in(sealed.subspan(kMagic.size() + 1));
    Envelope envelope{.kind = in.text(), .version = in.byte()};
    envelope.body = in.take(in.count(1));
    if (in.remaining() != 0) return fail(ErrorKind::corrupt, "the model file is longer than it says");
    return envelope;
  } catch (const BadBytes& bad) {
    return fail(ErrorKind::corrupt, std::string("not a model file: ") + bad.what());
  }
}

double read_finite(ByteReader& in) {
  const double value = in.real();
  if (!std::isfinite(value)) throw BadBytes("a number is not finite");
  return value;
}

float read_finite_float(ByteReader& in) {
  const float value = std::bit_cast<float>(in.word());
  if (!std::isfinite(value)) throw BadBytes("a number is not finite");
  return value;
}

void write_reals(ByteWriter& out, std::span<const double> values) {
  out.varint(values.size());
  for (const double value : values) out.real(value);
}

std::vector<double> read_reals(ByteReader& in) {
  std::vector<double> values(in.count(sizeof(double)));
  for (double& value : values) value = read_finite(in);
  return values;
}

void write_floats(ByteWriter& out, std::span<const float> values) {
  out.varint(values.size());
  for (const float value : values) out.word(std::bit_cast<std::uint32_t>(value));
}

void read_floats_into(ByteReader& in, std::span<float> values) {
  if (in.count(sizeof(float)) != values.size()) throw BadBytes("not as many numbers as there are places");
  for (float& value : values) value = read_finite_float(in);
}

std::vector<float> read_floats(ByteReader& in) {
  std::vector<float> values(in.count(sizeof(float)));
  for (float& value : values) value = read_finite_float(in);
  return values;
}

}  // namespace wattd::ml
