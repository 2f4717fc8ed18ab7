#include "telemetry/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>

namespace wattd {

std::optional<double> as_number(const Value& value) {
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
  return std::nullopt;
}

void append_number(std::string& out, double number) {
  // Most of what meters say has few decimals; their digits are those of a whole number. The quotient of two whole
  // numbers below 2^53 is the double nearest to it, so that equality proves the text.
  constexpr std::array<std::int64_t, 5> kScales{1, 10, 100, 1000, 10'000};
  if (std::abs(number) < 1e11 && (number != 0 || !std::signbit(number))) {
    for (std::size_t decimals = 0; decimals < kScales.size(); ++decimals) {
      const auto scaled = std::llrint(number * static_cast<double>(kScales[decimals]));
      if (static_cast<double>(scaled) / static_cast<double>(kScales[decimals]) != number) continue;
      std::array<char, 24> text;
      auto* const digits = text.data() + 1;
      auto* end = std::to_chars(digits, text.data() + text.size(), std::abs(scaled)).ptr;
      if (decimals > 0) {
        const auto count = static_cast<std::size_t>(end - digits);
        if (count <= decimals) {
          // 0.05 has more decimals than digits.
          const auto zeros = decimals + 1 - count;
          std::copy_backward(digits, end, end + zeros);
          std::fill_n(digits, zeros, '0');
          end += zeros;
        }
        std::copy_backward(end - decimals, end, end + 1);
        *(end - decimals) = '.';
        ++end;
      }
      text[0] = '-';
      out.append(scaled < 0 ? text.data() : digits, end);
      return;
    }
  }
  fmt::format_to(std::back_inserter(out), "{}", number);
}

std::string to_text(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *whole);
  std::string text;
  append_number(text, std::get<double>(value));
  return text;
}

double shortest_double(float value) {
  if (!std::isfinite(value)) return value;
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  double wide = value;
  std::from_chars(text.data(), end, wide);
  return wide;
}

}  // namespace wattd
