#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "telemetry/bytes.h"

namespace wattd::storage {

/// The CRC-32 (zlib's) of a flags byte and of what follows.
std::uint32_t checksum(std::uint8_t flags, std::span<const std::uint8_t> body);

/// The bytes as one zstd frame, or nothing when that would not be shorter by a sixteenth.
std::vector<std::uint8_t> compress(std::span<const std::uint8_t> plain);

/// Errors: throws BadBytes, also when the frame claims more than `most` bytes.
std::vector<std::uint8_t> decompress(std::span<const std::uint8_t> packed, std::size_t most);

/// Writes bytes with their length, compressed where that is shorter.
void write_section(ByteWriter& out, std::span<const std::uint8_t> plain);

/// Where a section lies; unpacked on demand.
struct Section {
  std::span<const std::uint8_t> stored;
  bool compressed = false;
  /// The section's plain bytes; `buffer` holds them when they were compressed.
  std::span<const std::uint8_t> plain(std::vector<std::uint8_t>& buffer) const;
};
Section read_section(ByteReader& in);

}  // namespace wattd::storage
