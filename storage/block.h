#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "telemetry/quality.h"
#include "telemetry/time.h"
#include "telemetry/value.h"

namespace wattd::storage {

/// What the values of a column are. The numbers are stored: never reuse or renumber one.
enum class Kind : std::uint8_t { real = 0, whole = 1, truth = 2, text = 3, mixed = 4 };

/// Values of one kind, in the kind's own type; `mixed` holds any.
class Values {
 public:
  using Truths = std::vector<std::uint8_t>;
  using Texts = std::vector<std::string>;
  using Mixed = std::vector<Value>;
  using Content = std::variant<std::vector<double>, std::vector<std::int64_t>, Truths, Texts, Mixed>;

  Values() = default;
  explicit Values(Content content) : content_(std::move(content)), typed_(true) {}

  Kind kind() const { return static_cast<Kind>(content_.index()); }
  std::size_t size() const {
    if (const auto* reals = std::get_if<std::vector<double>>(&content_)) [[likely]]
      return reals->size();
    return std::visit([](const auto& list) { return list.size(); }, content_);
  }
  Value operator[](std::size_t i) const;
  /// The value as a number; nullopt for truths and texts.
  std::optional<double> number(std::size_t i) const;
  /// Takes a value; the column becomes mixed when it is of another kind than those before.
  void push(const Value& value);
  /// Holds the place of a value that is not there.
  void push_nothing();
  void append(const Values& other);
  void reserve(std::size_t size);
  /// Forgets all values, and their kind, and keeps their memory.
  void clear();
  /// The values at `rows`, in that order.
  Values pick(std::span<const std::uint32_t> rows) const;
  const Content& content() const { return content_; }

 private:
  void become(Kind kind);

  Content content_;
  bool typed_ = false;  ///< A value has said what kind they are.
};

/// The values of one series within a block.
/// Shape: one entry a row in `values`; `present` is empty when every row has a value, `qualities` when all are good.
struct Column {
  std::uint32_t series_id = 0;
  std::vector<std::uint8_t> present;
  Values values;
  std::vector<Quality> qualities;

  bool has(std::size_t row) const { return row < values.size() && (present.empty() || present[row] != 0); }
  Quality quality(std::size_t row) const { return qualities.empty() ? Quality::good : qualities[row]; }
  /// Takes the value of row `row`, which must not be before the last one taken.
  void put(std::size_t row, const Value& value, Quality quality);
  /// Makes the column as long as the block.
  void fill_up(std::size_t rows);
  /// Forgets its values, and keeps their memory.
  void clear();
};

/// Readings of one device, column by column.
/// Shape: one entry a row; `received_us` is empty where it is not kept, `qualities` when all are good.
/// Units: microseconds since 1970 UTC.
struct Block {
  std::uint32_t device_key = 0;
  std::vector<std::int64_t> at_us;
  std::vector<std::int64_t> received_us;
  std::vector<std::uint32_t> versions;
  std::vector<Quality> qualities;
  std::vector<Column> columns;

  std::size_t rows() const { return at_us.size(); }
  std::size_t cells() const { return rows() * std::max<std::size_t>(columns.size(), 1); }
  Quality quality(std::size_t row) const { return qualities.empty() ? Quality::good : qualities[row]; }
  void add_row(std::int64_t at, std::uint32_t version, Quality quality);
  /// The column of a series, made when there is none; `hint` is where it may be.
  Column& column(std::uint32_t series_id, std::size_t hint);
  const Column* find(std::uint32_t series_id) const;
  /// Forgets its rows, and keeps their memory and its columns, which have no values then.
  void clear();
  /// Makes every column as long as the block.
  void fill_up();
  /// Takes the rows of another block of the same device in behind its own; their arrival is not kept.
  void append(const Block& other);
  /// The rows at `rows`, in that order.
  Block pick(std::span<const std::uint32_t> rows) const;
  Block slice(std::size_t from, std::size_t to) const;
};

/// A value that came under a key that held another one.
struct Correction {
  std::uint32_t series_id = 0;
  std::int64_t at_us = 0;
  Value was;
  Value became;
};

/// Sorts a block by time and makes rows that share a stamp one: of two values of a series the later row's holds.
/// `corrected` hears of every value that was replaced by a different one.
void sort_by_time(Block& block, const std::function<void(Correction)>& corrected = {});

}  // namespace wattd::storage
