#include "storage/envelope.h"

#include <zlib.h>
#include <zstd.h>

#include <memory>

namespace wattd::storage {
namespace {

constexpr std::size_t kMaxSection = 16u << 20;
constexpr std::size_t kWorthTrying = 64;

/// One context a thread: making one costs more than compressing a segment.
ZSTD_CCtx* compressor() {
  struct Free {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };
  thread_local const std::unique_ptr<ZSTD_CCtx, Free> context{ZSTD_createCCtx()};
  return context.get();
}

ZSTD_DCtx* decompressor() {
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  thread_local const std::unique_ptr<ZSTD_DCtx, Free> context{ZSTD_createDCtx()};
  return context.get();
}

}  // namespace

std::uint32_t checksum(std::uint8_t flags, std::span<const std::uint8_t> body) {
  const auto seed = crc32(0, &flags, 1);
  return static_cast<std::uint32_t>(crc32(seed, body.data(), static_cast<uInt>(body.size())));
}

std::vector<std::uint8_t> compress(std::span<const std::uint8_t> plain) {
  if (plain.size() < kWorthTrying) return {};
  std::vector<std::uint8_t> packed(ZSTD_compressBound(plain.size()));
  const auto size = ZSTD_compressCCtx(compressor(), packed.data(), packed.size(), plain.data(), plain.size(), 1);
  if (ZSTD_isError(size) || size >= plain.size() - plain.size() / 16) return {};
  packed.resize(size);
  return packed;
}

std::vector<std::uint8_t> decompress(std::span<const std::uint8_t> packed, std::size_t most) {
  const auto size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > most)
    throw BadBytes("the compressed bytes do not say a size that is allowed");
  std::vector<std::uint8_t> plain(static_cast<std::size_t>(size));
  const auto got = ZSTD_decompressDCtx(decompressor(), plain.data(), plain.size(), packed.data(), packed.size());
  if (ZSTD_isError(got) || got != plain.size()) throw BadBytes("the compressed bytes are damaged");
  return plain;
}

void write_section(ByteWriter& out, std::span<const std::uint8_t> plain) {
  const auto packed = compress(plain);
  const auto stored = packed.empty() ? plain : std::span<const std::uint8_t>(packed);
  out.varint(stored.size() << 1 | (packed.empty() ? 0 : 1));
  out.raw(stored.data(), stored.size());
}

Section read_section(ByteReader& in) {
  const auto size = in.varint();
  if (size >> 1 > in.remaining()) throw BadBytes("a section is longer than the bytes that follow");
  return {in.take(static_cast<std::size_t>(size >> 1)), (size & 1) != 0};
}

std::span<const std::uint8_t> Section::plain(std::vector<std::uint8_t>& buffer) const {
  if (!compressed) return stored;
  buffer = decompress(stored, kMaxSection);
  return buffer;
}

}  // namespace wattd::storage
