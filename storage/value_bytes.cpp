#include "storage/value_bytes.h"

#include <fmt/format.h>

namespace wattd::storage {

Value read_value(ByteReader& in, Kind kind) {
  switch (kind) {
    case Kind::real: return in.real();
    case Kind::whole: return in.zigzag_varint();
    case Kind::truth: return in.byte() != 0;
    case Kind::text: return in.text();
    case Kind::mixed: break;
  }
  throw BadBytes(fmt::format("a value has the unknown kind {}", static_cast<int>(kind)));
}

std::vector<Quality> read_qualities(ByteReader& in, std::size_t rows) {
  if (in.byte() == 0) return {};
  std::vector<Quality> qualities(rows, Quality::good);
  for (auto& quality : qualities) quality = static_cast<Quality>(in.varint() & 0xFFFF);
  return qualities;
}

}  // namespace wattd::storage
