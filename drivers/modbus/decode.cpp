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
double scaled(const std::string& digits, double scale, int more) {
  // The sign and a power of ten are exact; what is left of the factor is multiplied.
  const auto exponent = decimal_exponent(std::abs(scale));
  const bool has_exponent = digits.find('e') != std::string::npos;
  const int power = exponent.value_or(0) + more;
  double value = 0;
  const auto text = has_exponent ? digits : fmt::format("{}e{}", digits, power);
  std::from_chars(text.data(), text.data() + text.size(), value);
  if (has_exponent) value *= std::pow(10, power);
  return exponent ? std::copysign(1, scale) * value : value * scale;
}

double apply_coding(double value, Coding coding) {
  if (coding == Coding::four_quadrant && std::abs(value) > 1) return std::copysign(2 - std::abs(value), value);
  return value;
}

/// Two characters a register, the rest NUL or blanks.
std::optional<Value> decode_text(std::span<const std::uint16_t> words) {
  std::string text;
  for (const auto word : words) {
    for (const int byte : {word >> 8, word & 0xFF}) text.push_back(static_cast<char>(byte));
  }
  text.resize(std::min(text.size(), text.find('\0')));
  while (!text.empty() && text.back() == ' ') text.pop_back();
  for (auto& letter : text) {
    if (letter < ' ' || letter > '~') letter = '?';
  }
  return text.empty() ? std::nullopt : std::optional<Value>(text);
}

int width_of(RegisterType type) {
  switch (type) {
    case RegisterType::uint16:
    case RegisterType::int16: return 1;
    case RegisterType::uint32:
    case RegisterType::int32:
    case RegisterType::float32: return 2;
    case RegisterType::uint64:
    case RegisterType::int64:
    case RegisterType::float64: return 4;
    case RegisterType::string: return 0;
  }
  return 1;
}

/// Whether the raw number is one that the meter says instead of a value.
bool is_sentinel(const Register& row, std::uint64_t raw) {
  const int bits = 16 * width_of(row.type);
  const auto mask = bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
  return std::ranges::any_of(
      row.sentinels, [&](std::int64_t sentinel) { return ((static_cast<std::uint64_t>(sentinel) ^ raw) & mask) == 0; });
}

}  // namespace

int Register::count() const { return type == RegisterType::string ? text_registers : width_of(type); }

std::optional<Value> decode(const Register& row, std::span<const std::uint16_t> words, int exponent) {
  if (row.type == RegisterType::string) return decode_text(words);
  const auto raw = join_words(words, row.word_order);
  if (is_sentinel(row, raw)) return std::nullopt;
  if (row.type == RegisterType::float32 || row.type == RegisterType::float64) {
    const bool narrow = row.type == RegisterType::float32;
    const auto single = std::bit_cast<float>(static_cast<std::uint32_t>(raw));
    double wide = narrow ? single : std::bit_cast<double>(raw);
    if (!std::isfinite(wide)) return std::nullopt;  // meters say "not available" with a NaN
    auto digits = narrow ? fmt::format("{}", single) : fmt::format("{}", wide);
    if (row.offset != 0) digits = fmt::format("{}", wide + row.offset);
    return apply_coding(scaled(digits, row.scale, exponent), row.coding);
  }
  const auto whole = as_integer(row.type, raw);
  const bool beyond_signed = row.type == RegisterType::uint64 && whole < 0;
  if (row.scale == 1 && exponent == 0 && row.offset == 0 && row.coding == Coding::plain && !beyond_signed) return whole;
  auto digits = beyond_signed ? fmt::format("{}", raw) : fmt::format("{}", whole);
  if (row.offset != 0) digits = fmt::format("{}", static_cast<double>(whole) + row.offset);
  return apply_coding(scaled(digits, row.scale, exponent), row.coding);
}

std::vector<std::uint16_t> encode(const Register& row, double value) {
  const double unscaled = value / row.scale - row.offset;
  std::uint64_t raw = 0;
  switch (row.type) {
    case RegisterType::float32: raw = std::bit_cast<std::uint32_t>(static_cast<float>(unscaled)); break;
    case RegisterType::float64: raw = std::bit_cast<std::uint64_t>(unscaled); break;
    default: raw = static_cast<std::uint64_t>(std::llround(unscaled));
  }
  std::vector<std::uint16_t> words(static_cast<std::size_t>(row.count()));
  for (std::size_t i = 0; i < words.size(); ++i, raw >>= 16) {
    words[row.word_order == WordOrder::big ? words.size() - 1 - i : i] = static_cast<std::uint16_t>(raw);
  }
  return words;
}

}  // namespace wattd::drivers::modbus
