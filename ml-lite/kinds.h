#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <variant>

#include "telemetry/bytes.h"

namespace wattd::ml {

/// Of a variant of models: the kind of the one that it holds.
template <class Any>
std::string_view kind_of(const Any& any) {
  return std::visit([](const auto& model) { return std::decay_t<decltype(model)>::kKind; }, any);
}

/// A byte that tells which of them it is, and its body.
template <class Any>
void write_any(ByteWriter& out, const Any& any) {
  out.byte(static_cast<std::uint8_t>(any.index()));
  std::visit([&](const auto& model) { model.write(out); }, any);
}

/// Errors: throws BadBytes.
template <class Any>
Any read_any(ByteReader& in) {
  const std::size_t index = in.byte();
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    Any any;
    const bool known = ((index == I && (any = std::variant_alternative_t<I, Any>::read(in), true)) || ...);
    if (!known) throw BadBytes("an unknown kind of model");
    return any;
  }(std::make_index_sequence<std::variant_size_v<Any>>());
}

}  // namespace wattd::ml
