#include "storage/reals.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "storage/bits.h"
#include "storage/integers.h"

namespace wattd::storage {
namespace {

constexpr int kMostPlaces = 15;
constexpr std::array<double, kMostPlaces + 1> kPowers{1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                      1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
// Adding and taking away 1.5 * 2^52 rounds to a whole number, below 2^51, without a call.
constexpr double kRounder = 6755399441055744.0;
constexpr double kLargest = 2251799813685248.0;
constexpr std::size_t kSampled = 64;
constexpr std::uint8_t kXor = 1;
constexpr std::uint8_t kExceptions = 2;
constexpr std::uint8_t kRawNumber = 0xFF;

constexpr std::uint64_t bits_of(double value) { return std::bit_cast<std::uint64_t>(value); }

bool scale_one(double value, int places, std::int64_t& digits) {
  return scale(std::span(&value, 1), places, &digits) == 0;
}

/// The places that every one of `values` needs, those aside that are no decimals.
int places_for(std::span<const double> values, std::size_t every, int least) {
  Decimal decimal;
  for (std::size_t i = 0; i < values.size(); i += every) {
    if (scale_one(values[i], least, decimal.digits)) continue;
    if (to_decimal(values[i], decimal)) least = std::max(least, decimal.places);
  }
  return least;
}

void write_xor(ByteWriter& out, std::span<const double> values) {
  BitWriter bits(out.bytes());
  std::uint64_t previous = 0;
  int leading = 65;  // no window yet
  int length = 0;
  for (const auto value : values) {
    const auto difference = bits_of(value) ^ previous;
    previous = bits_of(value);
    if (difference == 0) {
      bits.put(0, 1);
      continue;
    }
    const int zeros = std::countl_zero(difference);
    const int trailing = std::countr_zero(difference);
    if (leading <= zeros && 64 - leading - length <= trailing && 64 - zeros - trailing + 12 >= length) {
      bits.put(0b01, 2);
    } else {
      leading = zeros, length = 64 - zeros - trailing;
      bits.put(0b11, 2);
      bits.put(static_cast<std::uint64_t>(leading), 6);
      bits.put(static_cast<std::uint64_t>(length - 1), 6);
    }
    bits.put(difference >> (64 - leading - length), length);
  }
  bits.finish();
}

void read_xor(ByteReader& in, std::vector<double>& values) {
  BitReader bits(in.peek());
  std::uint64_t previous = 0;
  int leading = 0;
  int length = 0;
  for (auto& value : values) {
    if (bits.take(1) != 0) {
      if (bits.take(1) != 0) {
        leading = static_cast<int>(bits.take(6));
        length = static_cast<int>(bits.take(6)) + 1;
        if (leading + length > 64) throw BadBytes("a float has more than 64 bits");
      }
      if (length == 0) throw BadBytes("a float uses bits that were never named");
      previous ^= bits.take(length) << (64 - leading - length);
    }
    value = std::bit_cast<double>(previous);
  }
  in.rest_is(bits.rest());
}

/// What cannot be scaled is written beside the list; in the list its neighbour stands in, which costs next to nothing.
void write_exceptions(ByteWriter& out, std::span<const double> values, int places, std::vector<std::int64_t>& digits,
                      std::size_t count) {
  out.varint(count);
  std::size_t previous = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::int64_t unused = 0;
    if (scale_one(values[i], places, unused)) continue;
    out.varint(i - previous);
    out.real(values[i]);
    previous = i;
    digits[i] = i > 0 ? digits[i - 1] : 0;
  }
}

std::vector<std::int64_t>& digits_of_this_thread() {
  thread_local std::vector<std::int64_t> digits;
  return digits;
}

}  // namespace

std::size_t scale(std::span<const double> values, int places, std::int64_t* digits) {
  const double power = kPowers[static_cast<std::size_t>(places)];
  std::size_t failed = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double scaled = values[i] * power;
    const bool small = std::fabs(scaled) < kLargest;
    const double rounded = small ? (scaled + kRounder) - kRounder : 0;
    // Dividing is correctly rounded: the double that a decimal text with these digits stands for.
    const bool same = small && bits_of(rounded / power) == bits_of(values[i]);
    digits[i] = same ? static_cast<std::int64_t>(rounded) : 0;
    failed += !same;
  }
  return failed;
}

bool to_decimal(double value, Decimal& decimal) {
  for (int places = 0; places <= kMostPlaces; ++places) {
    if (!scale_one(value, places, decimal.digits)) continue;
    decimal.places = places;
    return true;
  }
  return false;
}

double from_decimal(Decimal decimal) {
  return static_cast<double>(decimal.digits) / kPowers[static_cast<std::size_t>(decimal.places)];
}

void write_reals(ByteWriter& out, std::span<const double> values) {
  if (values.empty()) return;
  auto& digits = digits_of_this_thread();
  digits.resize(values.size());
  int places = places_for(values, std::max<std::size_t>(1, values.size() / kSampled), 0);
  auto failed = scale(values, places, digits.data());
  if (failed > 0) {
    const int all = places_for(values, 1, places);
    if (all != places) failed = scale(values, places = all, digits.data());
  }
  if (failed > values.size() / 8) {
    out.byte(kXor);
    return write_xor(out, values);
  }
  out.byte(static_cast<std::uint8_t>((failed > 0 ? kExceptions : 0) | places << 3));
  if (failed > 0) write_exceptions(out, values, places, digits, failed);
  write_integers(out, digits);
}

void read_reals(ByteReader& in, std::size_t count, std::vector<double>& values) {
  values.resize(count);
  if (count == 0) return;
  const auto head = in.byte();
  if ((head & kXor) != 0) return read_xor(in, values);
  const auto places = static_cast<std::size_t>(head >> 3);
  if (places > kMostPlaces) throw BadBytes("a number has more decimal places than a double");
  std::vector<std::pair<std::size_t, double>> exceptions;
  if ((head & kExceptions) != 0) {
    std::size_t at = 0;
    for (auto left = in.count(9); left > 0; --left) {
      at += static_cast<std::size_t>(in.varint());
      if (at >= count) throw BadBytes("an exception lies behind the end of its list");
      exceptions.emplace_back(at, in.real());
    }
  }
  auto& digits = digits_of_this_thread();
  read_integers(in, count, digits);
  const double power = kPowers[places];
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<double>(digits[i]) / power;
  for (const auto& [at, value] : exceptions) values[at] = value;
}

void write_number(ByteWriter& out, double value) {
  Decimal decimal;
  if (!to_decimal(value, decimal)) {
    out.byte(kRawNumber);
    return out.real(value);
  }
  out.byte(static_cast<std::uint8_t>(decimal.places));
  out.zigzag_varint(decimal.digits);
}

double read_number(ByteReader& in) {
  const auto places = in.byte();
  if (places == kRawNumber) return in.real();
  if (places > kMostPlaces) throw BadBytes("a number has more decimal places than a double");
  return from_decimal({in.zigzag_varint(), places});
}

}  // namespace wattd::storage
