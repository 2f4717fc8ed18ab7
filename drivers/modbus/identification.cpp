#include "drivers/modbus/identification.h"

#include <fmt/format.h>

#include <algorithm>

namespace wattd::drivers::modbus {
namespace {

constexpr std::uint8_t kFunction = 0x2B, kType = 0x0E, kBasic = 0x01;
constexpr std::uint8_t kException = 0x80;
constexpr std::size_t kTcpHeader = 6, kCrc = 2;
constexpr std::size_t kHead = 8;  // unit, function, type, code, conformity, more, next, number of objects

/// How long the answer is that begins here, and what it says; nullopt where none does, or it is not whole.
struct Body {
  std::size_t size = 0;
  std::vector<std::string> texts;
};
std::optional<Body> body_at(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kHead || bytes[1] != kFunction || bytes[2] != kType) return std::nullopt;
  Body body{.size = kHead, .texts = {}};
  for (int object = 0; object < bytes[7]; ++object) {
    if (bytes.size() < body.size + 2 || bytes.size() < body.size + 2 + bytes[body.size + 1]) return std::nullopt;
    const auto text = bytes.subspan(body.size + 2, bytes[body.size + 1]);
    body.texts.emplace_back(text.begin(), text.end());
    body.size += 2 + text.size();
  }
  return body;
}

bool has_crc(std::span<const std::uint8_t> frame, std::size_t size) {
  if (frame.size() < size + kCrc) return false;
  const auto crc = crc16(frame.first(size));
  return frame[size] == (crc & 0xFF) && frame[size + 1] == crc >> 8;
}

Error refusal(int unit, int code) {
  return {ErrorKind::unsupported, fmt::format("unit {} does not say what it is: exception {}", unit, code)};
}

}  // namespace

Bytes encode_identification(Framing framing, int unit, std::uint16_t transaction) {
  const Bytes body{static_cast<std::uint8_t>(unit), kFunction, kType, kBasic, 0};
  if (framing == Framing::rtu) {
    Bytes frame = body;
    const auto crc = crc16(frame);
    frame.push_back(static_cast<std::uint8_t>(crc));
    frame.push_back(static_cast<std::uint8_t>(crc >> 8));
    return frame;
  }
  Bytes frame{static_cast<std::uint8_t>(transaction >> 8), static_cast<std::uint8_t>(transaction), 0, 0, 0,
              static_cast<std::uint8_t>(body.size())};
  frame.insert(frame.end(), body.begin(), body.end());
  return frame;
}

std::optional<Result<std::vector<std::string>>> identification_in(std::span<const std::uint8_t> bytes, Framing framing,
                                                                  int unit, std::uint16_t transaction) {
  // What stands before it is noise, or a late answer to something else.
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    auto rest = bytes.subspan(at);
    if (framing == Framing::tcp) {
      if (rest.size() < kTcpHeader + 3) return std::nullopt;
      const bool is_header =
          rest[0] == transaction >> 8 && rest[1] == (transaction & 0xFF) && rest[2] == 0 && rest[3] == 0;
      const auto length = static_cast<std::size_t>(rest[4] << 8 | rest[5]);
      if (!is_header || rest.size() < kTcpHeader + length) continue;
      rest = rest.subspan(kTcpHeader, length);
      if (rest.size() == 3 && rest[1] == (kFunction | kException)) return std::unexpected(refusal(unit, rest[2]));
      const auto body = body_at(rest);
      if (body && body->size == length) return body->texts;
      continue;
    }
    if (rest[0] != unit) continue;
    if (rest.size() >= 3 && rest[1] == (kFunction | kException) && has_crc(rest, 3))
      return std::unexpected(refusal(unit, rest[2]));
    if (const auto body = body_at(rest); body && has_crc(rest, body->size)) return body->texts;
  }
  return std::nullopt;
}

}  // namespace wattd::drivers::modbus
