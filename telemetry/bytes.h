#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace wattd {

static_assert(std::endian::native == std::endian::little, "formats are little endian; big endian hosts need swaps");

constexpr std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

/// Appends to a byte string: LEB128 varints, little endian doubles, length-prefixed texts.
class ByteWriter {
 public:
  void byte(std::uint8_t value) { bytes_.push_back(value); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<std::uint8_t>(value | 0x80));
    bytes_.push_back(static_cast<std::uint8_t>(value));
  }
  void zigzag_varint(std::int64_t value) { varint(zigzag(value)); }
  void real(double value) { raw(&value, sizeof value); }
  void word(std::uint32_t value) { raw(&value, sizeof value); }
  void text(std::string_view value) { varint(value.size()), raw(value.data(), value.size()); }
  void raw(const void* data, std::size_t size) {
    const auto* first = static_cast<const std::uint8_t*>(data);
    bytes_.insert(bytes_.end(), first, first + size);
  }
  std::vector<std::uint8_t>& bytes() { return bytes_; }

 private:
  std::vector<std::uint8_t> bytes_;
};

/// The bytes ended too early or said something impossible.
struct BadBytes : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Reads what ByteWriter wrote. Errors: throws BadBytes instead of reading past the end.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}
  std::size_t remaining() const { return rest_.size(); }
  std::uint8_t byte() { return take(1)[0]; }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto next = byte();
      value |= static_cast<std::uint64_t>(next & 0x7F) << shift;
      if (next < 0x80) return value;
    }
    throw BadBytes("a number has more than 64 bits");
  }
  std::int64_t zigzag_varint() { return unzigzag(varint()); }
  double real() {
    double value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::uint32_t word() {
    std::uint32_t value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string text() {
    const auto bytes = take(count(1));
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  /// A count of things that take at least `bytes_each` bytes: refused when they cannot be there,
  /// so that hostile counts reserve no memory.
  std::size_t count(std::size_t bytes_each) {
    const auto number = varint();
    if (number > remaining() / bytes_each) throw BadBytes("a count is larger than the bytes that follow");
    return static_cast<std::size_t>(number);
  }
  /// What has not been read yet; rest_is() says how much of it is left.
  std::span<const std::uint8_t> peek() const { return rest_; }
  void rest_is(std::span<const std::uint8_t> rest) { rest_ = rest; }
  std::span<const std::uint8_t> take(std::size_t size) {
    if (size > rest_.size()) throw BadBytes("the bytes end too early");
    const auto taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }

 private:
  std::span<const std::uint8_t> rest_;
};

}  // namespace wattd
