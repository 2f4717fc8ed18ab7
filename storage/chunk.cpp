#include "storage/chunk.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "storage/envelope.h"
#include "storage/integers.h"
#include "storage/reals.h"
#include "telemetry/bytes.h"

namespace wattd::storage {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kMaxCells = 4u << 20;
constexpr std::size_t kMaxTextBytes = 16u << 20;

// A column's first byte: its kind, and what stands before its values.
constexpr std::uint8_t kKindBits = 7;
constexpr std::uint8_t kHasPresence = 8;
constexpr std::uint8_t kHasQualities = 16;

/// The values that are there, in the type of the list.
template <class T>
std::vector<T> present_only(const Column& column, const std::vector<T>& values) {
  std::vector<T> found;
  found.reserve(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (column.present[i] != 0) found.push_back(values[i]);
  }
  return found;
}

void write_texts(ByteWriter& out, const Values::Texts& texts) {
  std::map<std::string_view, std::int64_t> numbers;
  Values::Texts dictionary;
  std::vector<std::int64_t> indexes;
  for (const auto& text : texts) {
    const auto [known, fresh] = numbers.emplace(text, std::ssize(dictionary));
    if (fresh) dictionary.push_back(text);
    indexes.push_back(known->second);
  }
  out.varint(dictionary.size());
  for (const auto& text : dictionary) out.text(text);
  write_integers(out, indexes);
}

void write_mixed(ByteWriter& out, const Values::Mixed& values) {
  for (const auto& value : values) {
    out.byte(static_cast<std::uint8_t>(value.index()));
    if (const auto* real = std::get_if<double>(&value)) out.real(*real);
    if (const auto* whole = std::get_if<std::int64_t>(&value)) out.zigzag_varint(*whole);
    if (const auto* truth = std::get_if<bool>(&value)) out.byte(*truth ? 1 : 0);
    if (const auto* text = std::get_if<std::string>(&value)) out.text(*text);
  }
}

void write_list(ByteWriter& out, const std::vector<double>& values) { write_reals(out, values); }
void write_list(ByteWriter& out, const std::vector<std::int64_t>& values) { write_integers(out, values); }
void write_list(ByteWriter& out, const Values::Truths& values) {
  write_integers(out, std::vector<std::int64_t>(values.begin(), values.end()));
}
void write_list(ByteWriter& out, const Values::Texts& values) { write_texts(out, values); }
void write_list(ByteWriter& out, const Values::Mixed& values) { write_mixed(out, values); }

std::vector<std::int64_t> numbers_of(const std::vector<Quality>& qualities) {
  std::vector<std::int64_t> numbers;
  for (const auto quality : qualities) numbers.push_back(static_cast<std::uint16_t>(quality));
  return numbers;
}

void write_column(ByteWriter& out, const Column& column) {
  const bool sparse = std::ranges::find(column.present, 0) != column.present.end();
  const bool judged = std::ranges::any_of(column.qualities, [](Quality quality) { return quality != Quality::good; });
  out.byte(static_cast<std::uint8_t>(static_cast<int>(column.values.kind()) | (sparse ? kHasPresence : 0) |
                                     (judged ? kHasQualities : 0)));
  if (sparse) {
    for (std::size_t i = 0; i < column.present.size(); i += 8) {
      unsigned bits = 0;
      for (std::size_t j = i; j < std::min(i + 8, column.present.size()); ++j)
        bits |= (column.present[j] & 1u) << (j - i);
      out.byte(static_cast<std::uint8_t>(bits));
    }
  }
  if (judged) write_integers(out, numbers_of(column.qualities));
  std::visit(
      [&](const auto& values) {
        if (sparse) write_list(out, present_only(column, values));
        else write_list(out, values);
      },
      column.values.content());
}

void add(Summary& summary, double number) {
  if (!std::isfinite(number)) return;
  summary.min = summary.numbers == 0 ? number : std::min(summary.min, number);
  summary.max = summary.numbers == 0 ? number : std::max(summary.max, number);
  summary.sum += number;
  ++summary.numbers;
}

Summary summary_of(const Column& column) {
  Summary summary{.series_id = column.series_id};
  const auto rows = column.values.size();
  for (const auto quality : column.qualities) summary.quality |= quality;
  const auto* reals = std::get_if<std::vector<double>>(&column.values.content());
  if (reals != nullptr && column.present.empty()) {
    summary.values = rows;
    for (const auto number : *reals) add(summary, number);
    return summary;
  }
  for (std::size_t i = 0; i < rows; ++i) {
    if (!column.has(i)) continue;
    ++summary.values;
    if (const auto number = column.values.number(i)) add(summary, *number);
  }
  return summary;
}

std::vector<std::uint8_t> encode_head(const Block& block, std::span<const std::uint8_t> body) {
  ByteWriter out;
  out.varint(block.rows());
  out.zigzag_varint(block.at_us.front());
  out.varint(static_cast<std::uint64_t>(block.at_us.back()) - static_cast<std::uint64_t>(block.at_us.front()));
  out.varint(block.columns.size());
  std::uint32_t previous = 0;
  for (const auto& column : block.columns) {
    auto summary = summary_of(column);
    for (std::size_t i = 0; i < block.qualities.size(); ++i) {
      if (column.has(i)) summary.quality |= block.qualities[i];
    }
    out.zigzag_varint(static_cast<std::int64_t>(column.series_id) - previous);
    previous = column.series_id;
    out.varint(summary.values);
    out.varint(summary.values - summary.numbers);
    out.varint(static_cast<std::uint16_t>(summary.quality));
    if (summary.numbers == 0) continue;
    for (const auto number : {summary.min, summary.max, summary.sum}) write_number(out, number);
  }
  ByteWriter head;
  head.byte(kVersion);
  head.word(checksum(kVersion, out.bytes()));
  head.word(checksum(kVersion, body));
  head.raw(out.bytes().data(), out.bytes().size());
  return std::move(head.bytes());
}

void read_texts(ByteReader& in, std::size_t count, Values::Texts& texts) {
  Values::Texts dictionary;
  for (auto left = in.count(1); left > 0; --left) dictionary.push_back(in.text());
  std::vector<std::int64_t> indexes;
  read_integers(in, count, indexes);
  std::size_t bytes = 0;
  for (const auto index : indexes) {
    if (index < 0 || index >= std::ssize(dictionary)) throw BadBytes("a text is not in its dictionary");
    const auto& text = dictionary[static_cast<std::size_t>(index)];
    if ((bytes += text.size()) > kMaxTextBytes) throw BadBytes("there is more text than a column may hold");
    texts.push_back(text);
  }
}

Value read_value(ByteReader& in) {
  switch (static_cast<Kind>(in.byte())) {
    case Kind::real: return in.real();
    case Kind::whole: return in.zigzag_varint();
    case Kind::truth: return in.byte() != 0;
    case Kind::text: return in.text();
    case Kind::mixed: break;
  }
  throw BadBytes("a value has an unknown kind");
}

Values::Content read_list(ByteReader& in, Kind kind, std::size_t count) {
  switch (kind) {
    case Kind::real: {
      std::vector<double> values;
      read_reals(in, count, values);
      return values;
    }
    case Kind::whole:
    case Kind::truth: {
      std::vector<std::int64_t> values;
      read_integers(in, count, values);
      if (kind == Kind::whole) return values;
      Values::Truths truths;
      for (const auto value : values) truths.push_back(value != 0);
      return truths;
    }
    case Kind::text: {
      Values::Texts texts;
      read_texts(in, count, texts);
      return texts;
    }
    case Kind::mixed: {
      Values::Mixed values;
      for (std::size_t i = 0; i < count; ++i) values.push_back(read_value(in));
      return values;
    }
  }
  throw BadBytes("a column has an unknown kind");
}

/// Puts the values that are there at their rows.
Values::Content spread(Values::Content found, const std::vector<std::uint8_t>& present) {
  return std::visit(
      [&]<class List>(List&& list) -> Values::Content {
        std::remove_cvref_t<List> all(present.size());
        std::size_t next = 0;
        for (std::size_t i = 0; i < present.size(); ++i) {
          if (present[i] != 0) all[i] = std::move(list[next++]);
        }
        return all;
      },
      std::move(found));
}

std::vector<Quality> read_qualities(ByteReader& in, std::size_t rows) {
  std::vector<std::int64_t> numbers;
  read_integers(in, rows, numbers);
  std::vector<Quality> qualities;
  for (const auto number : numbers) qualities.push_back(static_cast<Quality>(number & 0xFFFF));
  return qualities;
}

Column read_column(ByteReader in, std::uint32_t series_id, std::size_t rows) {
  Column column{.series_id = series_id};
  const auto head = in.byte();
  auto count = rows;
  if ((head & kHasPresence) != 0) {
    const auto bits = in.take((rows + 7) / 8);
    column.present.resize(rows);
    count = 0;
    for (std::size_t i = 0; i < rows; ++i) count += column.present[i] = (bits[i / 8] >> (i % 8)) & 1;
  }
  if ((head & kHasQualities) != 0) column.qualities = read_qualities(in, rows);
  auto found = read_list(in, static_cast<Kind>(head & kKindBits), count);
  column.values = Values(column.present.empty() ? std::move(found) : spread(std::move(found), column.present));
  return column;
}

struct Head : ChunkHead {
  std::uint32_t body_checksum = 0;
};

Head read_head(std::span<const std::uint8_t> bytes) {
  ByteReader in(bytes);
  const auto version = in.byte();
  if (version != kVersion) throw BadBytes(fmt::format("version {} is not one this program reads", version));
  const auto stored = in.word();
  Head head;
  head.body_checksum = in.word();
  if (checksum(kVersion, in.peek()) != stored) throw BadBytes("the head's checksum does not match");
  head.rows = static_cast<std::size_t>(in.varint());
  if (head.rows == 0 || head.rows > kMaxChunkRows) throw BadBytes("the number of rows is not one of a chunk");
  head.from_us = in.zigzag_varint();
  head.to_us = static_cast<std::int64_t>(static_cast<std::uint64_t>(head.from_us) + in.varint());
  std::int64_t series_id = 0;
  for (auto left = in.count(4); left > 0; --left) {
    Summary summary;
    series_id = static_cast<std::int64_t>(static_cast<std::uint64_t>(series_id) +
                                          static_cast<std::uint64_t>(in.zigzag_varint()));
    summary.series_id = static_cast<std::uint32_t>(series_id);
    summary.values = in.varint();
    const auto others = in.varint();
    if (summary.values > head.rows || others > summary.values) throw BadBytes("a series counts more than its rows");
    summary.numbers = summary.values - others;
    summary.quality = static_cast<Quality>(in.varint() & 0xFFFF);
    if (summary.numbers > 0)
      summary.min = read_number(in), summary.max = read_number(in), summary.sum = read_number(in);
    head.series.push_back(summary);
  }
  return head;
}

Block read_body(const Head& head, std::span<const std::uint8_t> body, const WantsSeries& wants) {
  ByteReader in(body);
  std::vector<std::uint8_t> buffer;
  Block block;
  {
    ByteReader rows(read_section(in).plain(buffer));
    read_integers(rows, head.rows, block.at_us);
    std::vector<std::int64_t> numbers;
    read_integers(rows, head.rows, numbers);
    block.versions.assign(numbers.begin(), numbers.end());
    if (rows.byte() != 0) block.qualities = read_qualities(rows, head.rows);
  }
  auto cells_left = kMaxCells;
  for (const auto& summary : head.series) {
    const auto section = read_section(in);
    if (wants && !wants(summary.series_id)) continue;
    if (head.rows > cells_left) throw BadBytes("there are more values than a chunk may hold");
    cells_left -= head.rows;
    block.columns.push_back(read_column(ByteReader(section.plain(buffer)), summary.series_id, head.rows));
  }
  return block;
}

std::unexpected<Error> damaged(const BadBytes& problem) {
  return fail(ErrorKind::corrupt, fmt::format("chunk: {}", problem.what()));
}

}  // namespace

EncodedChunk encode_chunk(const Block& block) {
  ByteWriter body;
  ByteWriter section;
  write_integers(section, block.at_us);
  write_integers(section, std::vector<std::int64_t>(block.versions.begin(), block.versions.end()));
  section.byte(block.qualities.empty() ? 0 : 1);
  if (!block.qualities.empty()) write_integers(section, numbers_of(block.qualities));
  write_section(body, section.bytes());
  for (const auto& column : block.columns) {
    section.bytes().clear();
    write_column(section, column);
    write_section(body, section.bytes());
  }
  return {encode_head(block, body.bytes()), std::move(body.bytes())};
}

Result<ChunkHead> decode_chunk_head(std::span<const std::uint8_t> head) {
  try {
    return read_head(head);
  } catch (const BadBytes& problem) {
    return damaged(problem);
  }
}

Result<Block> decode_chunk(std::span<const std::uint8_t> head_bytes, std::span<const std::uint8_t> body,
                           const WantsSeries& wants) {
  try {
    const auto head = read_head(head_bytes);
    if (checksum(kVersion, body) != head.body_checksum) throw BadBytes("the body's checksum does not match");
    return read_body(head, body, wants);
  } catch (const BadBytes& problem) {
    return damaged(problem);
  }
}

}  // namespace wattd::storage
