#include "storage/segment.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "storage/bytes.h"

namespace wattd::storage {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kCompressed = 1;
constexpr std::size_t kHeaderBytes = 6;  // version, flags, checksum
constexpr std::size_t kCompressFrom = 512;
constexpr std::size_t kMaxBody = 64u << 20;
constexpr std::size_t kMaxCells = 4u << 20;

enum class Kind : std::uint8_t { real = 0, whole = 1, truth = 2, text = 3, mixed = 4 };

Kind kind_of(const Value& value) { return static_cast<Kind>(value.index()); }

Kind common_kind(const Column& column) {
  std::optional<Kind> kind;
  for (std::size_t i = 0; i < column.values.size(); ++i) {
    if (!column.present[i]) continue;
    if (kind && *kind != kind_of(column.values[i])) return Kind::mixed;
    kind = kind_of(column.values[i]);
  }
  return kind.value_or(Kind::real);
}

void write_value(ByteWriter& out, const Value& value) {
  switch (kind_of(value)) {
    case Kind::real: return out.real(std::get<double>(value));
    case Kind::whole: return out.zigzag_varint(std::get<std::int64_t>(value));
    case Kind::truth: return out.byte(std::get<bool>(value));
    default: return out.text(std::get<std::string>(value));
  }
}

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

void write_qualities(ByteWriter& out, const std::vector<Quality>& qualities) {
  const bool all_good = std::ranges::all_of(qualities, [](Quality q) { return q == Quality::good; });
  out.byte(all_good ? 0 : 1);
  if (all_good) return;
  for (const auto quality : qualities) out.varint(static_cast<std::uint16_t>(quality));
}

std::vector<Quality> read_qualities(ByteReader& in, std::size_t count) {
  std::vector<Quality> qualities(count, Quality::good);
  if (in.byte() == 0) return qualities;
  for (auto& quality : qualities) quality = static_cast<Quality>(in.varint() & 0xFFFF);
  return qualities;
}

void write_column(ByteWriter& out, const Column& column) {
  ByteWriter body;
  const auto kind = common_kind(column);
  body.byte(static_cast<std::uint8_t>(kind));
  const bool complete = std::ranges::all_of(column.present, [](auto present) { return present != 0; });
  body.byte(complete ? 1 : 0);
  if (!complete) {
    for (std::size_t i = 0; i < column.present.size(); i += 8) {
      std::uint8_t bits = 0;
      for (std::size_t j = i; j < std::min(i + 8, column.present.size()); ++j)
        bits |= (column.present[j] & 1) << (j - i);
      body.byte(bits);
    }
  }
  write_qualities(body, column.qualities);
  for (std::size_t i = 0; i < column.values.size(); ++i) {
    if (!column.present[i]) continue;
    if (kind == Kind::mixed) body.byte(static_cast<std::uint8_t>(kind_of(column.values[i])));
    write_value(body, column.values[i]);
  }
  out.varint(column.series_id);
  out.varint(body.bytes().size());
  out.raw(body.bytes().data(), body.bytes().size());
}

Column read_column(ByteReader in, std::uint32_t series_id, std::size_t readings) {
  Column column{.series_id = series_id};
  const auto kind = static_cast<Kind>(in.byte());
  column.present.assign(readings, 1);
  if (in.byte() == 0) {
    const auto bits = in.take((readings + 7) / 8);
    for (std::size_t i = 0; i < readings; ++i) column.present[i] = (bits[i / 8] >> (i % 8)) & 1;
  }
  column.qualities = read_qualities(in, readings);
  column.values.resize(readings);
  for (std::size_t i = 0; i < readings; ++i) {
    if (!column.present[i]) continue;
    column.values[i] = read_value(in, kind == Kind::mixed ? static_cast<Kind>(in.byte()) : kind);
  }
  return column;
}

void write_block(ByteWriter& out, const Block& block) {
  out.varint(block.device_key);
  out.varint(block.device_version);
  out.varint(block.at.size());
  std::int64_t previous = 0;
  for (const auto at : block.at) {
    out.zigzag_varint(to_unix_us(at) - previous);
    previous = to_unix_us(at);
  }
  for (std::size_t i = 0; i < block.at.size(); ++i) out.zigzag_varint((block.received[i] - block.at[i]).count());
  write_qualities(out, block.qualities);
  out.varint(block.columns.size());
  for (const auto& column : block.columns) write_column(out, column);
}

Block read_block(ByteReader& in, const WantsSeries& wants, std::size_t& cells_left) {
  Block block;
  block.device_key = static_cast<std::uint32_t>(in.varint());
  block.device_version = static_cast<std::uint32_t>(in.varint());
  const auto readings = in.count(2);
  std::uint64_t at = 0;  // unsigned, so that hostile deltas wrap instead of overflowing
  for (std::size_t i = 0; i < readings; ++i) {
    at += static_cast<std::uint64_t>(in.zigzag_varint());
    block.at.push_back(from_unix_us(static_cast<std::int64_t>(at)));
  }
  for (std::size_t i = 0; i < readings; ++i) {
    const auto us =
        static_cast<std::uint64_t>(to_unix_us(block.at[i])) + static_cast<std::uint64_t>(in.zigzag_varint());
    block.received.push_back(from_unix_us(static_cast<std::int64_t>(us)));
  }
  block.qualities = read_qualities(in, readings);
  for (auto columns = in.count(2); columns > 0; --columns) {
    // An absent value costs one bit on disk but a whole Value here.
    if (readings > cells_left) throw BadBytes("there are more values than a segment may hold");
    cells_left -= readings;
    const auto series_id = static_cast<std::uint32_t>(in.varint());
    const auto body = in.take(in.count(1));
    if (!wants || wants(series_id)) block.columns.push_back(read_column(ByteReader(body), series_id, readings));
  }
  return block;
}

std::uint32_t checksum(std::uint8_t flags, std::span<const std::uint8_t> body) {
  const auto seed = crc32(0, &flags, 1);
  return static_cast<std::uint32_t>(crc32(seed, body.data(), static_cast<uInt>(body.size())));
}

std::vector<std::uint8_t> decompress(std::span<const std::uint8_t> packed) {
  const auto size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > kMaxBody) {
    throw BadBytes("the compressed body does not say a size that is allowed");
  }
  std::vector<std::uint8_t> body(static_cast<std::size_t>(size));
  const auto got = ZSTD_decompress(body.data(), body.size(), packed.data(), packed.size());
  if (ZSTD_isError(got) || got != body.size()) throw BadBytes("the compressed body is damaged");
  return body;
}

/// One compression context a thread: making one costs more than compressing a segment.
ZSTD_CCtx* compressor() {
  struct Free {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };
  thread_local const std::unique_ptr<ZSTD_CCtx, Free> context{ZSTD_createCCtx()};
  return context.get();
}

}  // namespace

std::vector<std::uint8_t> encode_segment(std::span<const Block> blocks) {
  ByteWriter body;
  body.varint(blocks.size());
  for (const auto& block : blocks) write_block(body, block);

  std::uint8_t flags = 0;
  auto& plain = body.bytes();
  if (plain.size() >= kCompressFrom) {
    std::vector<std::uint8_t> packed(ZSTD_compressBound(plain.size()));
    const auto size = ZSTD_compressCCtx(compressor(), packed.data(), packed.size(), plain.data(), plain.size(), 1);
    if (!ZSTD_isError(size) && size < plain.size()) {
      packed.resize(size);
      plain = std::move(packed);
      flags |= kCompressed;
    }
  }
  ByteWriter out;
  out.byte(kVersion);
  out.byte(flags);
  out.word(checksum(flags, plain));
  out.raw(plain.data(), plain.size());
  return std::move(out.bytes());
}

Result<std::vector<Block>> decode_segment(std::span<const std::uint8_t> bytes, const WantsSeries& wants) {
  try {
    ByteReader head(bytes);
    const auto version = head.byte();
    if (version != kVersion) throw BadBytes(fmt::format("version {} is not one this program reads", version));
    const auto flags = head.byte();
    const auto stored = head.word();
    auto body = bytes.subspan(kHeaderBytes);
    if (checksum(flags, body) != stored) throw BadBytes("the checksum does not match");
    std::vector<std::uint8_t> unpacked;
    if ((flags & kCompressed) != 0) body = unpacked = decompress(body);

    ByteReader in(body);
    std::vector<Block> blocks;
    auto cells_left = kMaxCells;
    for (auto count = in.count(5); count > 0; --count) blocks.push_back(read_block(in, wants, cells_left));
    return blocks;
  } catch (const BadBytes& problem) {
    return fail(ErrorKind::corrupt, fmt::format("segment: {}", problem.what()));
  }
}

}  // namespace wattd::storage
