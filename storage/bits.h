#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "telemetry/bytes.h"

namespace wattd::storage {

/// The lowest `width` bits set; 0 to 64.
constexpr std::uint64_t low_bits(int width) { return width >= 64 ? ~0ULL : (1ULL << width) - 1; }

/// Appends bits to a byte string, least significant first.
class BitWriter {
 public:
  explicit BitWriter(std::vector<std::uint8_t>& bytes) : bytes_(bytes) {}
  /// `value` must have no bit beyond `width`, which is 0 to 64.
  void put(std::uint64_t value, int width) {
    word_ |= value << used_;
    if (used_ + width < 64) {
      used_ += width;
      return;
    }
    push(word_, 8);
    word_ = used_ == 0 ? 0 : value >> (64 - used_);
    used_ += width - 64;
    if (width == 64 && used_ == 0) word_ = 0;
  }
  /// So many ones and a zero.
  void unary(unsigned count) {
    for (; count >= 32; count -= 32) put(low_bits(32), 32);
    put(low_bits(static_cast<int>(count)), static_cast<int>(count) + 1);
  }
  /// Fills the last byte up with zeros.
  void finish() {
    push(word_, static_cast<std::size_t>(used_ + 7) / 8);
    word_ = 0, used_ = 0;
  }

 private:
  void push(std::uint64_t word, std::size_t size) {
    const auto at = bytes_.size();
    bytes_.resize(at + size);
    std::memcpy(bytes_.data() + at, &word, size);
  }

  std::vector<std::uint8_t>& bytes_;
  std::uint64_t word_ = 0;
  int used_ = 0;
};

/// Reads what BitWriter wrote. Errors: throws BadBytes instead of reading past the end.
class BitReader {
 public:
  explicit BitReader(std::span<const std::uint8_t> bytes) : bytes_(bytes), bits_(bytes.size() * 8) {}
  std::size_t remaining_bits() const { return bits_ - at_; }
  std::uint64_t take(int width) {
    if (static_cast<std::size_t>(width) > bits_ - at_) throw BadBytes("the bits end too early");
    const auto value = width <= 56 ? window() & low_bits(width) : wide(width);
    at_ += static_cast<std::size_t>(width);
    return value;
  }
  /// Takes many numbers of the same width; the caller has seen that they are there.
  void take_all(std::span<std::uint64_t> values, int width) {
    if (width > 56) {
      for (auto& value : values) value = take(width);
      return;
    }
    const auto mask = low_bits(width);
    for (auto& value : values) value = window() & mask, at_ += static_cast<std::size_t>(width);
  }
  /// A number whose high part is in unary, with `low` bits behind it, where both are near enough to be seen at once.
  /// False where they are not, or `most` ones stand there; nothing is taken then.
  bool take_unary_and(int low, unsigned most, std::uint64_t& value) {
    const auto word = window();
    const auto ones = static_cast<unsigned>(std::countr_one(word));
    const auto bits = ones + 1 + static_cast<unsigned>(low);
    if (ones >= most || bits > 56 || bits > bits_ - at_) return false;
    value = static_cast<std::uint64_t>(ones) << low | (word >> (ones + 1) & low_bits(low));
    at_ += bits;
    return true;
  }
  /// Counts ones up to the next zero, which it takes, or up to `most`, after which none is expected.
  unsigned unary(unsigned most) {
    unsigned count = 0;
    while (true) {
      const auto ones = static_cast<unsigned>(std::countr_one(window() & low_bits(56)));
      if (count + ones >= most) return skip(most - count), most;
      if (ones < 56) return skip(ones + 1), count + ones;
      skip(56);
      count += 56;
    }
  }
  /// The bytes behind the last one of which a bit was taken.
  std::span<const std::uint8_t> rest() const { return bytes_.subspan((at_ + 7) / 8); }

 private:
  /// At least 56 bits from here on, zeros behind the end.
  std::uint64_t window() const {
    const auto byte = at_ / 8;
    std::uint64_t word = 0;
    if (byte + 8 <= bytes_.size()) std::memcpy(&word, bytes_.data() + byte, 8);
    else if (byte < bytes_.size()) std::memcpy(&word, bytes_.data() + byte, bytes_.size() - byte);
    return word >> (at_ % 8);
  }
  std::uint64_t wide(int width) {
    const auto low = window() & low_bits(32);
    at_ += 32;
    const auto high = window() & low_bits(width - 32);
    at_ -= 32;
    return low | high << 32;
  }
  void skip(std::size_t bits) {
    if (bits > bits_ - at_) throw BadBytes("the bits end too early");
    at_ += bits;
  }

  std::span<const std::uint8_t> bytes_;
  std::size_t bits_;
  std::size_t at_ = 0;
};

}  // namespace wattd::storage
