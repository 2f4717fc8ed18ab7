#include "storage/integers.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <utility>

#include "storage/bits.h"

namespace wattd::storage {
namespace {

using Words = std::vector<std::uint64_t>;

constexpr std::size_t kBlock = 64;
constexpr unsigned kEscape = 24;  // ones that say: the whole number follows
constexpr int kEscapeBits = static_cast<int>(kEscape) + 6 + 1;
constexpr std::size_t kSampled = 64;

constexpr std::array<std::int64_t, 10> kPowers{1,       10,        100,        1'000,       10'000,
                                               100'000, 1'000'000, 10'000'000, 100'000'000, 1'000'000'000};

// Differences wrap around, so that the extremes of int64 come back, too; unsigned arithmetic is defined to do so.
constexpr std::uint64_t word(std::int64_t value) { return static_cast<std::uint64_t>(value); }
constexpr std::int64_t whole(std::uint64_t value) { return static_cast<std::int64_t>(value); }
constexpr int width_of(std::uint64_t value) { return 64 - std::countl_zero(value); }

/// The middle one of a few elements, spread over the list.
template <class At>
std::int64_t sampled_median(std::size_t size, At at) {
  std::array<std::int64_t, kSampled> some{};
  const auto count = std::min(size, kSampled);
  for (std::size_t i = 0; i < count; ++i) some[i] = at(i * size / count);
  const auto middle = some.begin() + static_cast<std::ptrdiff_t>(count / 2);
  std::nth_element(some.begin(), middle, some.begin() + static_cast<std::ptrdiff_t>(count));
  return count == 0 ? 0 : *middle;
}

/// A prediction with its numbers. Shape: `first` predicts nothing by itself; distances begin behind `skipped` values.
struct Model {
  Prediction prediction = Prediction::centre;
  std::int64_t first = 0;
  std::int64_t step = 0;
  std::int64_t centre = 0;
};

Model fit(Prediction prediction, std::span<const std::int64_t> values) {
  Model model{.prediction = prediction};
  const auto size = values.size();
  const auto difference = [&](std::size_t i) { return whole(word(values[i + 1]) - word(values[i])); };
  if (prediction == Prediction::centre) {
    model.centre = sampled_median(size, [&](std::size_t i) { return values[i]; });
    return model;
  }
  model.first = values[0];
  model.step = size < 2 ? 0 : sampled_median(size - 1, difference);
  if (prediction == Prediction::line) {
    model.centre = sampled_median(
        size, [&](std::size_t i) { return whole(word(values[i]) - word(model.first) - i * word(model.step)); });
  }
  return model;
}

/// The distances from the prediction, zigzag; none for the values that the model itself holds.
void distances(const Model& model, std::span<const std::int64_t> values, Words& found) {
  const auto size = values.size();
  switch (model.prediction) {
    case Prediction::centre:
      found.resize(size);
      for (std::size_t i = 0; i < size; ++i) found[i] = zigzag(whole(word(values[i]) - word(model.centre)));
      return;
    case Prediction::delta:
      found.resize(size - 1);
      for (std::size_t i = 1; i < size; ++i)
        found[i - 1] = zigzag(whole(word(values[i]) - word(values[i - 1]) - word(model.step)));
      return;
    case Prediction::delta_of_delta:
      found.resize(size - 1);
      found[0] = zigzag(whole(word(values[1]) - word(values[0]) - word(model.step)));
      for (std::size_t i = 2; i < size; ++i)
        found[i - 1] = zigzag(whole(word(values[i]) - 2 * word(values[i - 1]) + word(values[i - 2])));
      return;
    case Prediction::line:
      found.resize(size);
      for (std::size_t i = 0; i < size; ++i)
        found[i] = zigzag(whole(word(values[i]) - word(model.first) - i * word(model.step) - word(model.centre)));
      return;
  }
}

void restore(const Model& model, std::span<std::int64_t> values, const Words& found) {
  const auto size = values.size();
  switch (model.prediction) {
    case Prediction::centre:
      for (std::size_t i = 0; i < size; ++i) values[i] = whole(word(unzigzag(found[i])) + word(model.centre));
      return;
    case Prediction::delta: {
      auto at = word(values[0] = model.first);
      for (std::size_t i = 1; i < size; ++i) values[i] = whole(at += word(unzigzag(found[i - 1])) + word(model.step));
      return;
    }
    case Prediction::delta_of_delta: {
      auto at = word(values[0] = model.first);
      auto step = word(model.step);
      for (std::size_t i = 1; i < size; ++i) values[i] = whole(at += step += word(unzigzag(found[i - 1])));
      return;
    }
    case Prediction::line: {
      auto at = word(model.first) + word(model.centre);
      for (std::size_t i = 0; i < size; ++i, at += word(model.step)) values[i] = whole(word(unzigzag(found[i])) + at);
      return;
    }
  }
}

std::uint64_t total_width(const Words& found) {
  std::uint64_t bits = 0;
  for (const auto value : found) bits += static_cast<std::uint64_t>(width_of(value));
  return bits;
}

std::size_t packed_bits(const Words& found) {
  std::size_t bits = 0;
  for (std::size_t from = 0; from < found.size(); from += kBlock) {
    const auto size = std::min(kBlock, found.size() - from);
    std::uint64_t any = 0;
    for (std::size_t i = 0; i < size; ++i) any |= found[from + i];
    bits += 8 + size * static_cast<std::size_t>(width_of(any));
  }
  return bits;
}

std::size_t rice_bits(const Words& found, int low) {
  std::size_t bits = 0;
  for (const auto value : found) {
    const auto high = value >> low;
    bits += high < kEscape ? high + 1 + static_cast<std::size_t>(low)
                           : static_cast<std::size_t>(kEscapeBits - 1 + width_of(value));
  }
  return bits;
}

std::size_t run_bits(const Words& found) {
  std::size_t bits = 0;
  for (std::size_t i = 0; i < found.size();) {
    auto end = i + 1;
    while (end < found.size() && found[end] == found[i]) ++end;
    bits += static_cast<std::size_t>((width_of(found[i]) + 6) / 7 * 8 + (width_of(end - i) + 6) / 7 * 8);
    i = end;
  }
  return bits;
}

void write_packed(ByteWriter& out, const Words& found) {
  BitWriter bits(out.bytes());
  for (std::size_t from = 0; from < found.size(); from += kBlock) {
    const auto size = std::min(kBlock, found.size() - from);
    std::uint64_t any = 0;
    for (std::size_t i = 0; i < size; ++i) any |= found[from + i];
    const auto width = width_of(any);
    bits.put(static_cast<std::uint64_t>(width), 8);
    if (width == 0) continue;
    for (std::size_t i = 0; i < size; ++i) bits.put(found[from + i], width);
  }
  bits.finish();
}

void read_packed(ByteReader& in, Words& found) {
  BitReader bits(in.peek());
  for (std::size_t from = 0; from < found.size(); from += kBlock) {
    const auto size = std::min(kBlock, found.size() - from);
    const auto width = static_cast<int>(bits.take(8));
    if (width > 64) throw BadBytes("a block is wider than 64 bits");
    if (bits.remaining_bits() < size * static_cast<std::size_t>(width)) throw BadBytes("the bits end too early");
    bits.take_all(std::span(found).subspan(from, size), width);
  }
  in.rest_is(bits.rest());
}

void write_rice(ByteWriter& out, const Words& found, int low) {
  out.byte(static_cast<std::uint8_t>(low));
  BitWriter bits(out.bytes());
  for (const auto value : found) {
    const auto high = value >> low;
    if (high < kEscape) {
      bits.unary(static_cast<unsigned>(high));
      bits.put(value & low_bits(low), low);
    } else {
      const auto width = width_of(value);
      bits.put(low_bits(kEscape), kEscape);
      bits.put(static_cast<std::uint64_t>(width - 1), 6);
      bits.put(value, width);
    }
  }
  bits.finish();
}

void read_rice(ByteReader& in, Words& found) {
  const auto low = static_cast<int>(in.byte());
  if (low > 56) throw BadBytes("a list says more low bits than there are");
  BitReader bits(in.peek());
  for (auto& value : found) {
    if (bits.take_unary_and(low, kEscape, value)) continue;
    const auto high = bits.unary(kEscape);
    if (high < kEscape) value = static_cast<std::uint64_t>(high) << low | bits.take(low);
    else value = bits.take(static_cast<int>(bits.take(6)) + 1);
  }
  in.rest_is(bits.rest());
}

void write_runs(ByteWriter& out, const Words& found) {
  for (std::size_t i = 0; i < found.size();) {
    auto end = i + 1;
    while (end < found.size() && found[end] == found[i]) ++end;
    out.varint(found[i]);
    out.varint(end - i);
    i = end;
  }
}

void read_runs(ByteReader& in, Words& found) {
  for (std::size_t i = 0; i < found.size();) {
    const auto value = in.varint();
    const auto count = in.varint();
    if (count == 0 || count > found.size() - i) throw BadBytes("a run is longer than its list");
    std::fill_n(found.begin() + static_cast<std::ptrdiff_t>(i), count, value);
    i += static_cast<std::size_t>(count);
  }
}

/// The number of low bits with which the list is shortest, about: the mean width says where to look.
std::pair<int, std::size_t> best_rice(const Words& found, std::uint64_t width) {
  const auto mean = static_cast<int>(width / found.size());
  std::pair<int, std::size_t> best{0, rice_bits(found, std::clamp(mean - 1, 0, 56))};
  best.first = std::clamp(mean - 1, 0, 56);
  for (const auto low : {mean - 2, mean}) {
    if (low < 0 || low > 56 || low == best.first) continue;
    const auto bits = rice_bits(found, low);
    if (bits < best.second) best = {low, bits};
  }
  return best;
}

/// The largest power of ten that divides everything, as its exponent: stamps in whole milliseconds have 3.
int common_power(std::span<const std::int64_t> values) {
  int power = 0;
  while (power + 1 < static_cast<int>(kPowers.size())) {
    const auto divisor = kPowers[static_cast<std::size_t>(power) + 1];
    if (values.front() % divisor != 0) break;  // most lists end here
    if (!std::ranges::all_of(values, [&](std::int64_t value) { return value % divisor == 0; })) break;
    ++power;
  }
  return power;
}

void write_head(ByteWriter& out, const Model& model, Coding coding, int power) {
  out.byte(static_cast<std::uint8_t>(static_cast<int>(model.prediction) | static_cast<int>(coding) << 2 | power << 4));
  if (model.prediction != Prediction::centre) out.zigzag_varint(model.first), out.zigzag_varint(model.step);
  if (model.prediction == Prediction::centre || model.prediction == Prediction::line) out.zigzag_varint(model.centre);
}

void write_distances(ByteWriter& out, const Words& found, Coding coding, int low) {
  if (coding == Coding::packed) write_packed(out, found);
  if (coding == Coding::rice) write_rice(out, found, low);
  if (coding == Coding::runs) write_runs(out, found);
}

/// The buffers of a list that is being written, kept from one list to the next.
struct Scratch {
  std::vector<std::int64_t> scaled;
  std::array<Words, 4> found;
};

std::span<const std::int64_t> scale_down(std::span<const std::int64_t> values, int power, Scratch& scratch) {
  if (power == 0) return values;
  scratch.scaled.resize(values.size());
  const auto divisor = kPowers[static_cast<std::size_t>(power)];
  std::ranges::transform(values, scratch.scaled.begin(), [&](std::int64_t value) { return value / divisor; });
  return scratch.scaled;
}

Scratch& scratch_of_this_thread() {
  thread_local Scratch scratch;
  return scratch;
}

}  // namespace

void write_integers(ByteWriter& out, std::span<const std::int64_t> values) {
  if (values.empty()) return;
  auto& scratch = scratch_of_this_thread();
  const auto power = common_power(values);
  const auto scaled = scale_down(values, power, scratch);
  std::optional<Model> best;
  std::uint64_t best_width = 0;
  for (const auto prediction : {Prediction::centre, Prediction::delta, Prediction::delta_of_delta, Prediction::line}) {
    if (prediction != Prediction::centre && values.size() < 3) continue;
    const auto model = fit(prediction, scaled);
    auto& found = scratch.found[static_cast<std::size_t>(prediction)];
    distances(model, scaled, found);
    const auto width = total_width(found);
    if (best && width >= best_width) continue;
    best = model, best_width = width;
    if (width == 0) break;
  }
  const auto& found = scratch.found[static_cast<std::size_t>(best->prediction)];
  if (best_width == 0) return write_head(out, *best, Coding::none, power);
  const auto [low, rice] = best_rice(found, best_width);
  const auto packed = packed_bits(found);
  auto coding = packed <= rice + 8 ? Coding::packed : Coding::rice;
  // Runs are worth a look only where most distances are nothing.
  if (best_width < found.size() && run_bits(found) < std::min(packed, rice)) coding = Coding::runs;
  write_head(out, *best, coding, power);
  write_distances(out, found, coding, low);
}

void write_integers(ByteWriter& out, std::span<const std::int64_t> values, Prediction prediction, Coding coding) {
  if (values.empty()) return;
  auto& scratch = scratch_of_this_thread();
  const auto model = fit(prediction, values);
  auto& found = scratch.found[static_cast<std::size_t>(prediction)];
  distances(model, values, found);
  const int low = coding == Coding::rice ? best_rice(found, total_width(found)).first : 0;
  write_head(out, model, coding, 0);
  write_distances(out, found, coding, low);
}

void read_integers(ByteReader& in, std::size_t count, std::vector<std::int64_t>& values) {
  values.resize(count);
  if (count == 0) return;
  const auto head = in.byte();
  Model model{.prediction = static_cast<Prediction>(head & 3)};
  if (model.prediction != Prediction::centre) model.first = in.zigzag_varint(), model.step = in.zigzag_varint();
  if (model.prediction == Prediction::centre || model.prediction == Prediction::line) model.centre = in.zigzag_varint();
  const auto power = static_cast<std::size_t>(head >> 4);
  if (power >= kPowers.size()) throw BadBytes("a list says a power of ten that is not used");
  const bool counts_first = model.prediction == Prediction::centre || model.prediction == Prediction::line;
  auto& found = scratch_of_this_thread().found[0];
  found.assign(counts_first ? count : count - 1, 0);
  switch (static_cast<Coding>(head >> 2 & 3)) {
    case Coding::none: break;
    case Coding::packed: read_packed(in, found); break;
    case Coding::rice: read_rice(in, found); break;
    case Coding::runs: read_runs(in, found); break;
  }
  restore(model, values, found);
  if (power == 0) return;
  for (auto& value : values) value = whole(word(value) * word(kPowers[power]));
}

}  // namespace wattd::storage
