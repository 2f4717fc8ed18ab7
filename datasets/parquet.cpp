#include "datasets/parquet.h"

#include <snappy.h>

#include <bit>
#include <cstring>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

namespace wattd::datasets {
namespace {

static_assert(std::endian::native == std::endian::little, "Parquet is little endian; big endian hosts need swaps");

constexpr std::string_view kMagic = "PAR1";

// Numbers of parquet.thrift.
enum Type : std::int32_t { boolean = 0, int64 = 2, real = 5, byte_array = 6 };
enum Encoding : std::int32_t { plain = 0, rle = 3 };
constexpr std::int32_t kSnappy = 1, kOptional = 1, kRequired = 0, kUtf8 = 0, kTimestampMicros = 10, kDataPage = 0;

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

template <class Number>
void append_raw(std::string& out, Number value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

/// Thrift's compact protocol, as far as Parquet needs it. Fields of a struct go in the order of their numbers.
/// Source: apache/thrift, doc/specs/thrift-compact-protocol.md.
class Thrift {
 public:
  enum Kind : std::uint8_t { yes = 1, i32 = 5, i64 = 6, binary = 8, list = 9, structure = 12 };

  void number(int field, std::int32_t value) { head(field, i32), zigzag(value); }
  void big(int field, std::int64_t value) { head(field, i64), zigzag(value); }
  void truth(int field) { head(field, yes); }
  void text(int field, std::string_view value) { head(field, binary), raw_text(value); }
  void begin(int field) { head(field, structure), last_.push_back(0); }
  /// An element of a list of structs.
  void begin() { last_.push_back(0); }
  void end() { out_ += '\0', last_.pop_back(); }
  void begin_list(int field, Kind of, std::size_t size) {
    head(field, list);
    if (size < 15) {
      out_ += static_cast<char>(size << 4 | of);
    } else {
      out_ += static_cast<char>(0xF0 | of);
      append_varint(out_, size);
    }
  }
  void raw_text(std::string_view value) { append_varint(out_, value.size()), out_ += value; }
  void zigzag(std::int64_t value) {
    append_varint(out_, (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
  }
  /// The struct that was begun with the writer.
  std::string finished() { return std::move(out_ += '\0'); }

 private:
  void head(int field, Kind kind) {
    const int step = field - std::exchange(last_.back(), field);
    out_ += static_cast<char>(step << 4 | kind);  // none is more than 15 apart
  }

  std::string out_;
  std::vector<int> last_{0};
};

Type type_of(const Column& column) {
  constexpr Type kTypes[] = {int64, real, int64, boolean, byte_array};
  return kTypes[column.values.index()];
}

/// Whether each row has a value, as runs. Source: Encodings.md, "RLE/Bit-packing hybrid", at one bit.
std::string levels_of(const std::vector<bool>& present) {
  std::string runs;
  for (std::size_t from = 0; from < present.size();) {
    auto to = from;
    while (to < present.size() && present[to] == present[from]) ++to;
    append_varint(runs, (to - from) << 1);
    runs += static_cast<char>(present[from]);
    from = to;
  }
  std::string levels;
  append_raw(levels, static_cast<std::uint32_t>(runs.size()));
  return levels + runs;
}

std::string values_of(const Column& column, std::size_t rows) {
  std::string out;
  const auto has = [&](std::size_t row) { return column.present.empty() || column.present[row]; };
  std::visit(
      [&]<class Values>(const Values& values) {
        if constexpr (std::is_same_v<Values, Truths>) {
          std::size_t bit = 0;
          for (std::size_t row = 0; row < rows; ++row) {
            if (!has(row)) continue;
            if (bit % 8 == 0) out += '\0';
            if (values.set[row]) out.back() = static_cast<char>(out.back() | 1 << bit % 8);
            ++bit;
          }
        } else {
          for (std::size_t row = 0; row < rows; ++row) {
            if (!has(row)) continue;
            if constexpr (std::is_same_v<Values, Times>) {
              append_raw(out, values.us[row]);
            } else if constexpr (std::is_same_v<Values, std::vector<std::string>>) {
              append_raw(out, static_cast<std::uint32_t>(values[row].size()));
              out += values[row];
            } else {
              append_raw(out, values[row]);
            }
          }
        }
      },
      column.values);
  return out;
}

/// Where a column lies in the file.
struct Chunk {
  std::size_t offset = 0, packed = 0, plain = 0;
};

Chunk append_page(std::string& file, const Column& column, std::size_t rows) {
  Chunk chunk{.offset = file.size()};
  auto body = column.present.empty() ? std::string() : levels_of(column.present);
  body += values_of(column, rows);
  std::string packed;
  snappy::Compress(body.data(), body.size(), &packed);
  Thrift header;
  header.number(1, kDataPage);
  header.number(2, static_cast<std::int32_t>(body.size()));
  header.number(3, static_cast<std::int32_t>(packed.size()));
  header.begin(5);
  header.number(1, static_cast<std::int32_t>(rows));
  header.number(2, plain);
  header.number(3, rle);
  header.number(4, rle);
  header.end();
  const auto head = header.finished();
  file += head;
  file += packed;
  chunk.packed = head.size() + packed.size();
  chunk.plain = head.size() + body.size();
  return chunk;
}

void append_schema(Thrift& meta, std::span<const Column> columns) {
  meta.begin_list(2, Thrift::structure, columns.size() + 1);
  meta.begin();
  meta.text(4, "schema");
  meta.number(5, static_cast<std::int32_t>(columns.size()));
  meta.end();
  for (const auto& column : columns) {
    meta.begin();
    meta.number(1, type_of(column));
    meta.number(3, column.present.empty() ? kRequired : kOptional);
    meta.text(4, column.name);
    if (type_of(column) == byte_array) {
      meta.number(6, kUtf8);
      meta.begin(10), meta.begin(1), meta.end(), meta.end();
    } else if (std::holds_alternative<Times>(column.values)) {
      meta.number(6, kTimestampMicros);
      meta.begin(10), meta.begin(8), meta.truth(1);  // in UTC
      meta.begin(2), meta.begin(2), meta.end(), meta.end();
      meta.end(), meta.end();
    }
    meta.end();
  }
}

/// The range of a column of times, by which readers skip files.
void append_statistics(Thrift& meta, const Column& column) {
  const auto* times = std::get_if<Times>(&column.values);
  if (times == nullptr || times->us.empty()) return;
  auto least = std::numeric_limits<std::int64_t>::max();
  auto most = std::numeric_limits<std::int64_t>::min();
  for (const auto us : times->us) least = std::min(least, us), most = std::max(most, us);
  std::string low, high;
  append_raw(low, least), append_raw(high, most);
  meta.begin(12);
  meta.text(5, high);
  meta.text(6, low);
  meta.end();
}

void append_row_group(Thrift& meta, std::span<const Column> columns, std::span<const Chunk> chunks, std::size_t rows) {
  std::size_t total = 0;
  for (const auto& chunk : chunks) total += chunk.plain;
  meta.begin_list(4, Thrift::structure, 1);
  meta.begin();
  meta.begin_list(1, Thrift::structure, columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    meta.begin();
    meta.big(2, static_cast<std::int64_t>(chunks[i].offset));
    meta.begin(3);
    meta.number(1, type_of(columns[i]));
    meta.begin_list(2, Thrift::i32, 2);
    meta.zigzag(plain), meta.zigzag(rle);
    meta.begin_list(3, Thrift::binary, 1);
    meta.raw_text(columns[i].name);
    meta.number(4, kSnappy);
    meta.big(5, static_cast<std::int64_t>(rows));
    meta.big(6, static_cast<std::int64_t>(chunks[i].plain));
    meta.big(7, static_cast<std::int64_t>(chunks[i].packed));
    meta.big(9, static_cast<std::int64_t>(chunks[i].offset));
    append_statistics(meta, columns[i]);
    meta.end();
    meta.end();
  }
  meta.big(2, static_cast<std::int64_t>(total));
  meta.big(3, static_cast<std::int64_t>(rows));
  meta.end();
}

}  // namespace

std::string to_parquet(std::span<const Column> columns, std::size_t rows,
                       const std::map<std::string, std::string>& metadata) {
  std::string file(kMagic);
  std::vector<Chunk> chunks;
  for (const auto& column : columns) chunks.push_back(append_page(file, column, rows));
  Thrift meta;
  meta.number(1, 2);
  append_schema(meta, columns);
  meta.big(3, static_cast<std::int64_t>(rows));
  append_row_group(meta, columns, chunks, rows);
  if (!metadata.empty()) {
    meta.begin_list(5, Thrift::structure, metadata.size());
    for (const auto& [key, value] : metadata) meta.begin(), meta.text(1, key), meta.text(2, value), meta.end();
  }
  meta.text(6, "wattd");
  // Statistics count where it is said how values are ordered: as their types are.
  meta.begin_list(7, Thrift::structure, columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) meta.begin(), meta.begin(1), meta.end(), meta.end();
  const auto footer = meta.finished();
  file += footer;
  append_raw(file, static_cast<std::uint32_t>(footer.size()));
  return file += kMagic;
}

}  // namespace wattd::datasets
