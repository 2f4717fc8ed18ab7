#include "ml-lite/stream/surprise.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ml-lite/model_file.h"

namespace wattd::ml {
namespace {

constexpr float kMemory = 6000;       ///< Values after which all counts are halved.
constexpr float kTailShare = 0.005f;  ///< Of the values; these, and at least kTailLeast, make up the tail.
constexpr float kTailLeast = 4;
constexpr float kExponent = 5;        ///< What a tail is thought to be like …
constexpr float kExponentWeight = 6;  ///< … and how many values it takes to think otherwise.
constexpr float kBelow = 6;           ///< Octaves below the mean where the bins begin.
constexpr float kPerOctave = 3;
constexpr float kFirst = 20;  ///< Values that are only learnt.
constexpr float kLn2 = std::numbers::ln2_v<float>;

}  // namespace

float Surprise::operator()(double value) {
  constexpr float kMost = 1e30f;  // Sums of thousands are numbers still.
  const float x = value > 0 ? static_cast<float>(std::min(value, static_cast<double>(kMost))) : 0;
  const float mean = number_ > 0 ? sum_ / number_ : 0;
  const float ratio = mean > 0 ? x / mean : x > 0 ? 8.0f : 0.0f;
  const float share = std::isfinite(ratio) ? ratio : 8.0f;
  const float octaves = std::log2(share + 1e-9f) + kBelow;
  const float place = std::clamp(octaves * kPerOctave, 0.0f, kBins - 0.01f);
  const int bin = static_cast<int>(place);
  const float result = number_ < kFirst ? 0 : rarity(octaves, bin, place - static_cast<float>(bin));
  ++counts_[static_cast<std::size_t>(bin)];
  in_bins_ += 1, sum_ += x, number_ += 1;
  if (in_bins_ > kMemory) {
    in_bins_ = 0;
    // Rounded up: a rare event stays remembered.
    for (auto& count : counts_) in_bins_ += static_cast<float>(count = static_cast<std::uint16_t>((count + 1) >> 1));
    sum_ *= 0.5f, number_ *= 0.5f;
  }
  return result;
}

float Surprise::rarity(float octaves, int bin, float within) const {
  const auto count = [this](int i) { return static_cast<float>(counts_[static_cast<std::size_t>(i)]); };
  const float wanted = std::max(kTailShare * in_bins_, kTailLeast);
  float above = 0, probability = 0;
  int border = kBins - 1;
  for (;; --border) {
    above += count(border);
    if (above >= wanted || border == 0) break;
  }
  if (bin > border) {
    // In the tail, which begins at the border bin's upper edge.
    const float edge = static_cast<float>(border + 1) / kPerOctave, in_tail = above - count(border);
    float octaves_beyond = 0;
    for (int i = border + 1; i < kBins; ++i)
      octaves_beyond += count(i) * ((static_cast<float>(i) + 0.5f) / kPerOctave - edge);
    const float exponent = (in_tail + kExponentWeight) / (octaves_beyond * kLn2 + kExponentWeight / kExponent);
    probability = (in_tail + 0.5f) / (in_bins_ + 1) * std::exp(-exponent * (octaves - edge) * kLn2);
  } else {
    for (int i = border - 1; i >= bin; --i) {
      above += count(i);
      if (above - count(bin) > 0.1f * in_bins_ + 1) return 0;
    }
    probability = (above - count(bin) * within + 0.5f) / (in_bins_ + 1);
  }
  return -std::log10(std::clamp(probability, 1e-30f, 1.0f));
}

void Surprise::write(ByteWriter& out) const {
  for (const auto count : counts_) out.varint(count);
  out.word(std::bit_cast<std::uint32_t>(sum_));
  out.word(std::bit_cast<std::uint32_t>(number_));
}

Surprise Surprise::read(ByteReader& in) {
  Surprise surprise;
  for (auto& count : surprise.counts_) {
    const auto value = in.varint();
    if (value > static_cast<std::uint64_t>(kMemory)) throw BadBytes("an impossible count");
    count = static_cast<std::uint16_t>(value);
    surprise.in_bins_ += static_cast<float>(count);
  }
  surprise.sum_ = read_finite_float(in);
  surprise.number_ = read_finite_float(in);
  if (surprise.sum_ < 0 || surprise.number_ < 0 || surprise.sum_ > 1e35f) throw BadBytes("an impossible mean");
  return surprise;
}

}  // namespace wattd::ml
