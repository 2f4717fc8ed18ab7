#include "storage/block.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace wattd::storage {
namespace {

template <class... Parts>
struct Overload : Parts... {
  using Parts::operator()...;
};

bool same(const Value& a, const Value& b) {
  // Bit by bit: two NaN are the same value, zero and minus zero are not.
  if (const auto* x = std::get_if<double>(&a)) {
    const auto* y = std::get_if<double>(&b);
    return y != nullptr && std::bit_cast<std::uint64_t>(*x) == std::bit_cast<std::uint64_t>(*y);
  }
  return a == b;
}

}  // namespace

Value Values::operator[](std::size_t i) const {
  return std::visit(Overload{[&](const Truths& list) -> Value { return list[i] != 0; },
                             [&](const auto& list) -> Value { return list[i]; }},
                    content_);
}

std::optional<double> Values::number(std::size_t i) const {
  return std::visit(
      Overload{[&](const std::vector<double>& list) { return std::optional(list[i]); },
               [&](const std::vector<std::int64_t>& list) { return std::optional(static_cast<double>(list[i])); },
               [&](const Mixed& list) { return as_number(list[i]); },
               [&](const auto&) { return std::optional<double>{}; }},
      content_);
}

void Values::become(Kind kind) {
  if (kind == Kind::mixed && typed_) {
    Mixed mixed;
    mixed.reserve(size() + 1);
    for (std::size_t i = 0; i < size(); ++i) mixed.push_back((*this)[i]);
    content_ = std::move(mixed);
    return;
  }
  // Only places without values so far: they are the same in any kind.
  const auto held = size();
  typed_ = true;
  if (this->kind() == kind) return;
  switch (kind) {
    case Kind::real: content_ = std::vector<double>(held); break;
    case Kind::whole: content_ = std::vector<std::int64_t>(held); break;
    case Kind::truth: content_ = Truths(held); break;
    case Kind::text: content_ = Texts(held); break;
    case Kind::mixed: content_ = Mixed(held); break;
  }
}

void Values::push(const Value& value) {
  const auto kind = static_cast<Kind>(value.index());
  // Nearly every column holds numbers, and begins as such.
  if (auto* reals = std::get_if<std::vector<double>>(&content_); reals != nullptr && kind == Kind::real) {
    typed_ = true;
    reals->push_back(std::get<double>(value));
    return;
  }
  if (!typed_) become(kind);
  else if (this->kind() != kind && this->kind() != Kind::mixed) become(Kind::mixed);
  std::visit(Overload{[&](Truths& list) { list.push_back(std::get<bool>(value) ? 1 : 0); },
                      [&](Mixed& list) { list.push_back(value); },
                      [&]<class T>(std::vector<T>& list) { list.push_back(std::get<T>(value)); }},
             content_);
}

void Values::push_nothing() {
  std::visit([](auto& list) { list.emplace_back(); }, content_);
}

void Values::append(const Values& other) {
  const auto* added = std::get_if<std::vector<double>>(&other.content_);
  if (auto* reals = std::get_if<std::vector<double>>(&content_); reals != nullptr && added != nullptr && other.typed_) {
    typed_ = true;
    if (added->size() == 1) reals->push_back(added->front());
    else reals->insert(reals->end(), added->begin(), added->end());
    return;
  }
  if (!typed_ && other.typed_) become(other.kind());
  if (other.typed_ && kind() != other.kind()) {
    if (kind() != Kind::mixed) become(Kind::mixed);
    auto& mixed = std::get<Mixed>(content_);
    for (std::size_t i = 0; i < other.size(); ++i) mixed.push_back(other[i]);
    return;
  }
  std::visit(
      [&]<class List>(List& list) {
        if (!other.typed_) list.resize(list.size() + other.size());
        else {
          const auto& more = std::get<List>(other.content_);
          list.insert(list.end(), more.begin(), more.end());
        }
      },
      content_);
}

void Values::clear() {
  std::visit([](auto& list) { list.clear(); }, content_);
  typed_ = false;
}

void Values::reserve(std::size_t size) {
  std::visit([&](auto& list) { list.reserve(size); }, content_);
}

Values Values::pick(std::span<const std::uint32_t> rows) const {
  Values picked;
  std::visit(
      [&]<class List>(const List& list) {
        List chosen;
        chosen.reserve(rows.size());
        for (const auto row : rows) chosen.push_back(list[row]);
        picked.content_ = std::move(chosen);
      },
      content_);
  picked.typed_ = typed_;
  return picked;
}

void Column::fill_up(std::size_t rows) {
  const auto held = values.size();
  if (held >= rows) [[likely]]
    return;
  if (present.empty()) present.assign(held, 1);
  present.resize(rows, 0);
  if (!qualities.empty()) qualities.resize(rows, Quality::good);
  for (auto row = held; row < rows; ++row) values.push_nothing();
}

void Column::clear() {
  present.clear();
  values.clear();
  qualities.clear();
}

void Column::put(std::size_t row, const Value& value, Quality quality) {
  const auto held = values.size();
  if (held > row) return;  // a name that came twice in one reading: the first one holds
  if (held < row) fill_up(row);
  values.push(value);
  if (!present.empty()) present.push_back(1);
  if (quality != Quality::good && qualities.empty()) qualities.assign(row, Quality::good);
  if (quality != Quality::good || !qualities.empty()) qualities.push_back(quality);
}

void Block::add_row(std::int64_t at, std::uint32_t version, Quality quality) {
  at_us.push_back(at);
  versions.push_back(version);
  if (quality != Quality::good && qualities.empty()) qualities.assign(rows() - 1, Quality::good);
  if (quality != Quality::good || !qualities.empty()) qualities.push_back(quality);
}

Column& Block::column(std::uint32_t series_id, std::size_t hint) {
  if (hint < columns.size() && columns[hint].series_id == series_id) return columns[hint];
  for (auto& column : columns) {
    if (column.series_id == series_id) return column;
  }
  columns.push_back({.series_id = series_id});
  return columns.back();
}

const Column* Block::find(std::uint32_t series_id) const {
  const auto found = std::ranges::find(columns, series_id, &Column::series_id);
  return found == columns.end() ? nullptr : &*found;
}

void Block::clear() {
  at_us.clear();
  received_us.clear();
  versions.clear();
  qualities.clear();
  for (auto& column : columns) column.clear();
}

void Block::fill_up() {
  for (auto& column : columns) {
    if (column.values.size() < rows()) column.fill_up(rows());
  }
}

void Block::append(const Block& other) {
  const auto before = rows();
  at_us.insert(at_us.end(), other.at_us.begin(), other.at_us.end());
  versions.insert(versions.end(), other.versions.begin(), other.versions.end());
  if (!other.qualities.empty() || !qualities.empty()) {
    qualities.resize(before, Quality::good);
    qualities.insert(qualities.end(), other.qualities.begin(), other.qualities.end());
    qualities.resize(rows(), Quality::good);
  }
  for (std::size_t i = 0; i < other.columns.size(); ++i) {
    const auto& from = other.columns[i];
    auto& to = column(from.series_id, i);
    to.fill_up(before);
    to.values.append(from.values);
    if (!from.present.empty() || !to.present.empty()) {
      to.present.resize(before, 1);
      to.present.insert(to.present.end(), from.present.begin(), from.present.end());
      to.present.resize(to.values.size(), 1);
    }
    if (!from.qualities.empty() || !to.qualities.empty()) {
      to.qualities.resize(before, Quality::good);
      to.qualities.insert(to.qualities.end(), from.qualities.begin(), from.qualities.end());
      to.qualities.resize(to.values.size(), Quality::good);
    }
  }
  fill_up();
}

Block Block::pick(std::span<const std::uint32_t> wanted) const {
  const auto chosen = [&](const auto& list) {
    std::remove_cvref_t<decltype(list)> picked;
    if (list.empty()) return picked;
    picked.reserve(wanted.size());
    for (const auto row : wanted) picked.push_back(list[row]);
    return picked;
  };
  Block block{.device_key = device_key,
              .at_us = chosen(at_us),
              .received_us = chosen(received_us),
              .versions = chosen(versions),
              .qualities = chosen(qualities)};
  for (const auto& column : columns) {
    block.columns.push_back(
        {column.series_id, chosen(column.present), column.values.pick(wanted), chosen(column.qualities)});
  }
  return block;
}

Block Block::slice(std::size_t from, std::size_t to) const {
  std::vector<std::uint32_t> wanted(to - from);
  std::iota(wanted.begin(), wanted.end(), static_cast<std::uint32_t>(from));
  return pick(wanted);
}

void sort_by_time(Block& block, const std::function<void(Correction)>& corrected) {
  block.fill_up();
  if (std::ranges::is_sorted(block.at_us, std::ranges::less_equal{})) return;  // strictly: no stamp comes twice
  std::vector<std::uint32_t> order(block.rows());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, {}, [&](std::uint32_t row) { return block.at_us[row]; });
  const auto sorted = block.pick(order);
  Block merged{.device_key = block.device_key};
  for (const auto& column : sorted.columns) merged.columns.push_back({.series_id = column.series_id});
  for (std::size_t from = 0; from < sorted.rows();) {
    auto to = from + 1;
    while (to < sorted.rows() && sorted.at_us[to] == sorted.at_us[from]) ++to;
    auto quality = Quality::good;
    for (auto row = from; row < to; ++row) quality |= sorted.quality(row);
    const auto at = merged.rows();
    merged.add_row(sorted.at_us[from], sorted.versions[to - 1], quality);
    for (std::size_t c = 0; c < sorted.columns.size(); ++c) {
      const auto& column = sorted.columns[c];
      std::optional<std::size_t> held;
      for (auto row = from; row < to; ++row) {
        if (!column.has(row)) continue;
        if (held && corrected && !same(column.values[*held], column.values[row]))
          corrected({column.series_id, sorted.at_us[from], column.values[*held], column.values[row]});
        held = row;
      }
      if (held) merged.columns[c].put(at, column.values[*held], column.quality(*held));
    }
    from = to;
  }
  merged.fill_up();
  block = std::move(merged);
}

}  // namespace wattd::storage
