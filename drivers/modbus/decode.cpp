#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "drivers/modbus/profile.h"

namespace wattd::drivers::modbus {
namespace {

std::uint64_t join_words(std::span<const std::uint16_t> words, WordOrder order) {
  std::uint64_t raw = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    raw = (raw << 16) | words[order == WordOrder::big ? i : words.size() - 1 - i];
  }
  return raw;
}

std::int64_t as_integer(RegisterType type, std::uint64_t raw) {
  switch (type) {
    case RegisterType::int16: return static_cast<std::int16_t>(raw);
    case RegisterType::int32: return static_cast<std::int32_t>(raw);
    default: return static_cast<std::int64_t>(raw);
  }
}

/// The power of ten that `scale` is, if it is one.
std::optional<int> decimal_exponent(double scale) {
  const double exponent = std::round(std::log10(scale));
  if (!(scale > 0) || std::abs(exponent) > 12) return std::nullopt;
  double exact = 0;
  const auto text = fmt::format("1e{}", static_cast<int>(exponent));
  std::from_chars(text.data(), text.data() + text.size(), exact);
  return exact == scale ? std::optional(static_cast<int>(exponent)) : std::nullopt;
}

/// Scales in decimal, so that 2301 × 0.1 is 230.1 and not 230.10000000000002.
double scaled(const std::string& digits, double scale) {
  double value = 0;
  const auto exponent = decimal_exponent(scale);
  const bool has_exponent = digits.find('e') != std::string::npos;
  const auto text = exponent && !has_exponent ? fmt::format("{}e{}", digits, *exponent) : digits;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return exponent && !has_exponent ? value : value * scale;
}

double apply_coding(double value, Coding coding) {
  if (coding == Coding::four_quadrant && std::abs(value) > 1) return std::copysign(2 - std::abs(value), value);
  return value;
}

}  // namespace

int register_count(RegisterType type) {
  switch (type) {
    case RegisterType::uint16:
    case RegisterType::int16: return 1;
    case RegisterType::uint32:
    case RegisterType::int32:
    case RegisterType::float32: return 2;
    case RegisterType::uint64:
    case RegisterType::int64:
    case RegisterType::float64: return 4;
  }
  return 1;
}

std::optional<Value> decode(const Register& row, std::span<const std::uint16_t> words) {
  const auto raw = join_words(words, row.word_order);
  if (row.type == RegisterType::float32 || row.type == RegisterType::float64) {
    const bool narrow = row.type == RegisterType::float32;
    const auto single = std::bit_cast<float>(static_cast<std::uint32_t>(raw));
    const double wide = narrow ? single : std::bit_cast<double>(raw);
    if (!std::isfinite(wide)) return std::nullopt;  // meters say "not available" with a NaN
    return apply_coding(scaled(narrow ? fmt::format("{}", single) : fmt::format("{}", wide), row.scale), row.coding);
  }
  const auto whole = as_integer(row.type, raw);
  if (std::ranges::find(row.sentinels, whole) != row.sentinels.end()) return std::nullopt;
  const bool beyond_signed = row.type == RegisterType::uint64 && whole < 0;
  if (row.scale == 1 && row.coding == Coding::plain && !beyond_signed) return whole;
  const auto digits = beyond_signed ? fmt::format("{}", raw) : fmt::format("{}", whole);
  return apply_coding(scaled(digits, row.scale), row.coding);
}

std::vector<std::uint16_t> encode(const Register& row, double value) {
  const double unscaled = value / row.scale;
  std::uint64_t raw = 0;
  switch (row.type) {
    case RegisterType::float32: raw = std::bit_cast<std::uint32_t>(static_cast<float>(unscaled)); break;
    case RegisterType::float64: raw = std::bit_cast<std::uint64_t>(unscaled); break;
    default: raw = static_cast<std::uint64_t>(std::llround(unscaled));
  }
  std::vector<std::uint16_t> words(static_cast<std::size_t>(register_count(row.type)));
  for (std::size_t i = 0; i < words.size(); ++i, raw >>= 16) {
    words[row.word_order == WordOrder::big ? words.size() - 1 - i : i] = static_cast<std::uint16_t>(raw);
  }
  return words;
}

}  // namespace wattd::drivers::modbus
