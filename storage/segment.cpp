#include "storage/segment.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "storage/envelope.h"
#include "storage/reals.h"
#include "storage/segment_v1.h"
#include "storage/value_bytes.h"
#include "telemetry/bytes.h"

namespace wattd::storage {
namespace {

constexpr std::uint8_t kVersion = 2;
constexpr std::uint8_t kCompressed = 1;
constexpr std::size_t kHeaderBytes = 6;  // version, flags, checksum
constexpr std::size_t kMaxBody = 64u << 20;
constexpr std::size_t kMaxCells = 4u << 20;

// What holds for nearly every block costs a bit instead of a byte a column.
constexpr std::uint8_t kOneRow = 1;
constexpr std::uint8_t kAllGood = 2;
constexpr std::uint8_t kAllPresent = 4;
constexpr std::uint8_t kConsecutive = 8;  // series ids count up
constexpr std::uint8_t kOneVersion = 16;
constexpr std::uint8_t kSameColumns = 32;  // as many, and of the same kinds, as in the block before

// A column's first byte: its kind, or "decimals" with their places.
constexpr std::uint8_t kDecimals = 0x80;

void write_value(ByteWriter& out, const Value& value) {
  switch (static_cast<Kind>(value.index())) {
    case Kind::real: return out.real(std::get<double>(value));
    case Kind::whole: return out.zigzag_varint(std::get<std::int64_t>(value));
    case Kind::truth: return out.byte(std::get<bool>(value));
    default: return out.text(std::get<std::string>(value));
  }
}

/// The places with which every value is a decimal, at least `least`; -1 when there are none.
int common_places(const Column& column, std::span<const double> values, int least, std::vector<std::int64_t>& digits) {
  int places = least;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!column.has(i) || scale(values.subspan(i, 1), places, &digits[i]) == 0) continue;
    Decimal decimal;
    if (!to_decimal(values[i], decimal)) return -1;
    places = std::max(places, decimal.places);
  }
  if (places == least) return places;  // then the digits are right already
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (column.has(i) && scale(values.subspan(i, 1), places, &digits[i]) != 0) return -1;
  }
  return places;
}

void write_wholes(ByteWriter& out, const Column& column, std::span<const std::int64_t> values) {
  std::uint64_t previous = 0;  // unsigned, so that the extremes wrap around
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!column.has(i)) continue;
    const auto value = static_cast<std::uint64_t>(values[i]);
    out.zigzag_varint(static_cast<std::int64_t>(value - previous));
    previous = value;
  }
}

/// What is written of a column, once it is known how: its first byte, and the digits of decimals.
struct Plan {
  std::uint8_t head = 0;
  std::vector<std::int64_t> digits;
};

void plan(const Column& column, std::uint8_t wanted, Plan& plan) {
  plan.head = static_cast<std::uint8_t>(column.values.kind());
  const auto* reals = std::get_if<std::vector<double>>(&column.values.content());
  if (reals == nullptr) return;
  plan.digits.resize(reals->size());
  // With the places of the same column of the block before, where they do, it need not be said again.
  const int least = (wanted & kDecimals) != 0 ? wanted & 0x0F : 0;
  if (const int places = common_places(column, *reals, least, plan.digits); places >= 0)
    plan.head = static_cast<std::uint8_t>(kDecimals | places);
}

void write_values(ByteWriter& out, const Column& column, const Plan& plan) {
  const auto& content = column.values.content();
  if ((plan.head & kDecimals) != 0) return write_wholes(out, column, plan.digits);
  if (const auto* wholes = std::get_if<std::vector<std::int64_t>>(&content)) return write_wholes(out, column, *wholes);
  for (std::size_t i = 0; i < column.values.size(); ++i) {
    if (!column.has(i)) continue;
    const auto value = column.values[i];
    if (column.values.kind() == Kind::mixed) out.byte(static_cast<std::uint8_t>(value.index()));
    write_value(out, value);
  }
}

void read_values(ByteReader& in, std::uint8_t head, Column& column, std::size_t rows) {
  const bool decimals = (head & kDecimals) != 0;
  const int places = head & 0x0F;
  std::uint64_t previous = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    if (!column.present.empty() && column.present[i] == 0) {
      column.values.push_nothing();
      continue;
    }
    if (decimals || static_cast<Kind>(head) == Kind::whole) {
      previous += static_cast<std::uint64_t>(in.zigzag_varint());
      const auto whole = static_cast<std::int64_t>(previous);
      column.values.push(decimals ? Value(from_decimal({whole, places})) : Value(whole));
    } else {
      const auto kind = static_cast<Kind>(head);
      column.values.push(read_value(in, kind == Kind::mixed ? static_cast<Kind>(in.byte()) : kind));
    }
  }
}

void write_qualities(ByteWriter& out, const std::vector<Quality>& qualities) {
  out.byte(qualities.empty() ? 0 : 1);
  for (const auto quality : qualities) out.varint(static_cast<std::uint16_t>(quality));
}

void write_presence(ByteWriter& out, const Column& column) {
  out.byte(column.present.empty() ? 1 : 0);
  for (std::size_t i = 0; i < column.present.size(); i += 8) {
    unsigned bits = 0;
    for (std::size_t j = i; j < std::min(i + 8, column.present.size()); ++j)
      bits |= (column.present[j] & 1u) << (j - i);
    out.byte(static_cast<std::uint8_t>(bits));
  }
}

std::vector<std::uint8_t> read_presence(ByteReader& in, std::size_t rows) {
  if (in.byte() != 0) return {};
  const auto bits = in.take((rows + 7) / 8);
  std::vector<std::uint8_t> present(rows);
  for (std::size_t i = 0; i < rows; ++i) present[i] = (bits[i / 8] >> (i % 8)) & 1;
  return present;
}

std::uint8_t flags_of(const Block& block) {
  std::uint8_t flags = block.rows() == 1 ? kOneRow : 0;
  const auto good = [](const Column& column) { return column.qualities.empty(); };
  const auto complete = [](const Column& column) { return column.present.empty(); };
  if (block.qualities.empty() && std::ranges::all_of(block.columns, good)) flags |= kAllGood;
  if (std::ranges::all_of(block.columns, complete)) flags |= kAllPresent;
  const auto& columns = block.columns;
  const auto gap = [](const Column& a, const Column& b) { return a.series_id + 1 != b.series_id; };
  if (std::ranges::adjacent_find(columns, gap) == columns.end()) flags |= kConsecutive;
  if (std::ranges::adjacent_find(block.versions, std::not_equal_to{}) == block.versions.end()) flags |= kOneVersion;
  return flags;
}

std::int64_t milliseconds_late(const Block& block, std::size_t row) {
  return block.received_us.empty() ? 0 : (block.received_us[row] - block.at_us[row]) / 1000;
}

/// Makes the plans of a block's columns; true when they are as those of the block before.
bool plan_columns(const Block& block, std::vector<Plan>& plans, std::size_t& columns_before) {
  bool same = block.columns.size() == columns_before;
  if (plans.size() < block.columns.size()) plans.resize(block.columns.size());
  for (std::size_t i = 0; i < block.columns.size(); ++i) {
    const auto before = i < columns_before ? plans[i].head : std::uint8_t{0};
    plan(block.columns[i], before, plans[i]);
    same = same && plans[i].head == before;
  }
  columns_before = block.columns.size();
  return same;
}

void write_block(ByteWriter& out, const Block& block, std::int64_t base, std::int64_t unit, std::span<const Plan> plans,
                 bool same_columns) {
  const auto flags = static_cast<std::uint8_t>(flags_of(block) | (same_columns ? kSameColumns : 0));
  out.byte(flags);
  if ((flags & kOneRow) == 0) out.varint(block.rows());
  for (std::size_t i = 0; i < ((flags & kOneVersion) != 0 ? 1 : block.rows()); ++i) out.varint(block.versions[i]);
  auto previous = base;
  for (const auto at : block.at_us) out.zigzag_varint((at - previous) / unit), previous = at;
  for (std::size_t i = 0; i < block.rows(); ++i) out.zigzag_varint(milliseconds_late(block, i));
  if ((flags & kAllGood) == 0) write_qualities(out, block.qualities);
  if (!same_columns) out.varint(block.columns.size());
  for (std::size_t i = 0; i < block.columns.size(); ++i) {
    const auto& column = block.columns[i];
    if (!same_columns) out.byte(plans[i].head);
    if (i == 0 || (flags & kConsecutive) == 0) out.varint(column.series_id);
    if ((flags & kAllPresent) == 0) write_presence(out, column);
    if ((flags & kAllGood) == 0) write_qualities(out, column.qualities);
    write_values(out, column, plans[i]);
  }
}

void read_rows(ByteReader& in, Block& block, std::size_t rows, std::uint8_t flags, std::int64_t base,
               std::int64_t unit) {
  block.versions.resize(rows);
  block.at_us.reserve(rows);
  block.received_us.reserve(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    const bool stored = i == 0 || (flags & kOneVersion) == 0;
    block.versions[i] = stored ? static_cast<std::uint32_t>(in.varint()) : block.versions[0];
  }
  auto at = static_cast<std::uint64_t>(base);  // unsigned, so that hostile deltas wrap instead of overflowing
  for (std::size_t i = 0; i < rows; ++i) {
    at += static_cast<std::uint64_t>(in.zigzag_varint()) * static_cast<std::uint64_t>(unit);
    block.at_us.push_back(static_cast<std::int64_t>(at));
  }
  for (std::size_t i = 0; i < rows; ++i) {
    const auto late = static_cast<std::uint64_t>(in.zigzag_varint()) * 1000;
    block.received_us.push_back(static_cast<std::int64_t>(static_cast<std::uint64_t>(block.at_us[i]) + late));
  }
  if ((flags & kAllGood) == 0) block.qualities = read_qualities(in, rows);
}

Block read_block(ByteReader in, std::uint32_t device_key, std::int64_t base, std::int64_t unit,
                 std::vector<std::uint8_t>& heads, std::size_t& cells_left) {
  Block block{.device_key = device_key};
  const auto flags = in.byte();
  const auto rows = (flags & kOneRow) != 0 ? 1 : in.count(2);
  if (rows == 0) throw BadBytes("a block has no rows");
  read_rows(in, block, rows, flags, base, unit);
  std::uint32_t series_id = 0;
  const bool same_columns = (flags & kSameColumns) != 0;
  if (!same_columns) heads.resize(in.count(1));
  const auto columns = heads.size();
  if (columns > in.remaining() && rows > 0) throw BadBytes("the bytes end too early");
  block.columns.reserve(columns);
  for (std::size_t i = 0; i < columns; ++i) {
    // An absent value costs one bit on disk but a whole place here.
    if (rows > cells_left) throw BadBytes("there are more values than a segment may hold");
    cells_left -= rows;
    if (!same_columns) heads[i] = in.byte();
    series_id = i == 0 || (flags & kConsecutive) == 0 ? static_cast<std::uint32_t>(in.varint()) : series_id + 1;
    auto& column = block.columns.emplace_back();
    column.series_id = series_id;
    if ((flags & kAllPresent) == 0) column.present = read_presence(in, rows);
    if ((flags & kAllGood) == 0) column.qualities = read_qualities(in, rows);
    read_values(in, heads[i], column, rows);
  }
  return block;
}

std::vector<Block> read_body(std::span<const std::uint8_t> body, const WantsDevice& wants) {
  ByteReader in(body);
  std::vector<Block> blocks;
  auto cells_left = kMaxCells;
  const auto base = in.zigzag_varint();
  const std::int64_t unit = in.byte() == 0 ? 1 : 1000;
  std::uint32_t device_key = 0;
  std::vector<std::uint8_t> heads;
  const auto count = in.count(5);
  if (!wants) blocks.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    device_key += static_cast<std::uint32_t>(in.varint());
    const auto bytes = in.take(in.count(1));
    const bool wanted = !wants || wants(device_key);
    // What says its columns has to be read even so: those behind it may refer to them.
    if (!wanted && !bytes.empty() && (bytes[0] & kSameColumns) != 0) continue;
    auto block = read_block(ByteReader(bytes), device_key, base, unit, heads, cells_left);
    if (wanted) blocks.push_back(std::move(block));
  }
  return blocks;
}

void write_body(ByteWriter& body, std::span<const Block> blocks) {
  auto base = std::numeric_limits<std::int64_t>::max();
  bool milliseconds = true;
  for (const auto& block : blocks) {
    for (const auto at : block.at_us) base = std::min(base, at), milliseconds = milliseconds && at % 1000 == 0;
  }
  body.zigzag_varint(blocks.empty() ? 0 : base);
  body.byte(milliseconds ? 1 : 0);
  body.varint(blocks.size());
  std::uint32_t previous = 0;
  ByteWriter bytes;
  thread_local std::vector<Plan> plans;
  std::size_t columns_before = SIZE_MAX;
  for (const auto& block : blocks) {
    bytes.bytes().clear();
    if (columns_before == SIZE_MAX) columns_before = 0, plans.clear();
    const bool same = plan_columns(block, plans, columns_before) && previous > 0;
    write_block(bytes, block, base, milliseconds ? 1000 : 1, plans, same);
    body.varint(block.device_key - previous);
    body.varint(bytes.bytes().size());
    body.raw(bytes.bytes().data(), bytes.bytes().size());
    previous = block.device_key;
  }
}

}  // namespace

std::vector<std::uint8_t> encode_segment(std::span<const Block> blocks) {
  ByteWriter body;
  write_body(body, blocks);
  const auto packed = compress(body.bytes());
  const auto& stored = packed.empty() ? body.bytes() : packed;
  const std::uint8_t flags = packed.empty() ? 0 : kCompressed;
  ByteWriter out;
  out.byte(kVersion);
  out.byte(flags);
  out.word(checksum(flags, stored));
  out.raw(stored.data(), stored.size());
  return std::move(out.bytes());
}

Result<std::vector<Block>> decode_segment(std::span<const std::uint8_t> bytes, const WantsDevice& wants) {
  try {
    ByteReader head(bytes);
    const auto version = head.byte();
    if (version != kVersion && version != 1)
      throw BadBytes(fmt::format("version {} is not one this program reads", version));
    const auto flags = head.byte();
    const auto stored = head.word();
    auto body = bytes.subspan(kHeaderBytes);
    if (checksum(flags, body) != stored) throw BadBytes("the checksum does not match");
    std::vector<std::uint8_t> unpacked;
    if ((flags & kCompressed) != 0) body = unpacked = decompress(body, kMaxBody);
    return version == 1 ? read_segment_v1(body, wants) : read_body(body, wants);
  } catch (const BadBytes& problem) {
    return fail(ErrorKind::corrupt, fmt::format("segment: {}", problem.what()));
  }
}

}  // namespace wattd::storage
