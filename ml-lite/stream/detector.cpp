#include "ml-lite/stream/detector.h"

#include <algorithm>
#include <cmath>

#include "ml-lite/model_file.h"

namespace wattd::ml {
namespace {

constexpr float kOff = 1;                ///< Decades of which a channel says nothing: one in ten is no surprise.
constexpr float kHold = 300;             ///< Rows that an alarm holds back lesser ones, at most …
constexpr float kHoldShare = 0.15f;      ///< … and never more than this share of the history …
constexpr float kHoldLeast = 50;         ///< … nor fewer.
constexpr float kHoldMelts = 0.5f;       ///< Share of the bar that is gone at its end.
constexpr float kCounts = 2;             ///< A score from here on counts as an alarm …
constexpr float kPenalty = 0.5f;         ///< … and each takes these decades off later ones …
constexpr float kForgets = 1000;         ///< … until it is forgotten, in rows (to 1/e).
constexpr float kRoutine = 0.3f;         ///< How quickly an hour's usual peak is learnt, a day.
constexpr float kRoutineFree = 2;        ///< Decades of routine that are not taken off.
constexpr float kRoutineMost = 5;        ///< What one event counts at most.
constexpr float kShortRows = 9;          ///< Short mean of what is off.
constexpr float kLongDays = 3;           ///< Long mean of it.
constexpr float kChangeRows = 72;        ///< Mean of the steps, against that of ten days.
constexpr float kClockDays = 1.5f;       ///< Memory of how well a shifted clock fits.
constexpr std::uint32_t kSettled = 200;  ///< Rows after which the range of what was seen means something.
constexpr float kTiny = 1e-9f;

float distance(float usual, float now, float floor) {
  return std::log((std::abs(usual) + floor) / (std::abs(now) + floor));
}

/// Of the logarithm of the rate of false alarms, by score.
constexpr double kRateAtZero = -1.4, kRateSlope = -0.78;

}  // namespace

std::string_view to_string(Oddity oddity) {
  constexpr std::string_view kNames[] = {"jump", "level", "flat", "ratio", "volatility", "clock", "range"};
  return kNames[static_cast<std::size_t>(oddity)];
}

void StreamDetector::follow(float& mean, float value, float rate) const {
  mean += (value - mean) * std::max(rate, 1.0f / static_cast<float>(rows_ + 1));
}
float StreamDetector::rows_a_day() const { return std::max(1.0f, 86400 / interval_s_); }
float StreamDetector::rows_an_hour() const { return std::max(1.0f, 3600 / interval_s_); }

void StreamDetector::start(LocalTime at, float value) {
  last_ = at.time_since_epoch().count();
  hour_ = std::chrono::floor<std::chrono::hours>(at).time_since_epoch().count();
  level_ = slow_ = smallest_ = largest_ = low_[0] = high_[0] = mean_[0] = value;
  profile_.start(value);
}

/// The running median of the gaps, in log space: a hole does not change it.
void StreamDetector::learn_interval(float gap) {
  if (gap <= 0) return;
  if (rows_ == 1) {
    interval_s_ = gap;
  } else {
    interval_s_ *= std::exp((rows_ < 50 ? 0.1f : 0.02f) * std::clamp(10 * std::log(gap / interval_s_), -1.0f, 1.0f));
  }
}

void StreamDetector::end_hour(std::int64_t hour) {
  if (hour == hour_) return;
  auto& usual = usual_peak_[static_cast<std::size_t>((hour_ % 24 + 24) % 24)];
  usual += kRoutine * (std::min(peak_, kRoutineMost) - usual);
  hour_ = hour;
  ++hours_, in_hour_ = 0, peak_ = 0;
}

/// Between the means of the last `rows` and of as many before.
float StreamDetector::jump_over(std::uint32_t rows) const {
  float sum = 0;
  for (std::uint32_t k = 0; k < rows; ++k) sum += residual_back(k) - residual_back(k + rows);
  return std::abs(sum) / static_cast<float>(rows);
}

/// The range of all values over the spread of the last sixteen: large where a meter stands still.
float StreamDetector::flatness() const {
  const float range = largest_ - smallest_;
  float sum = 0, spread = 0;
  for (std::uint32_t k = 0; k < 16; ++k) sum += value_back(k);
  for (std::uint32_t k = 0; k < 16; ++k) spread += std::abs(value_back(k) - sum / 16);
  return range / (spread / 16 + 0.002f * range + 1e-12f);
}

/// The last day's mean against that of three weeks; and by how much it did not come as low and as high as days do.
float StreamDetector::day_deviation(float value, float& narrowness) {
  const auto slot = hours_ % kHours;
  if (in_hour_++ == 0) {
    low_[slot] = high_[slot] = mean_[slot] = value;
  } else {
    low_[slot] = std::min(low_[slot], value), high_[slot] = std::max(high_[slot], value);
    mean_[slot] += (value - mean_[slot]) / static_cast<float>(in_hour_);
  }
  const auto known = std::min<std::size_t>(hours_ + 1, kHours);
  float low = low_[0], high = high_[0], sum = 0;
  for (std::size_t k = 0; k < known; ++k)
    low = std::min(low, low_[k]), high = std::max(high, high_[k]), sum += mean_[k];
  const float mean = sum / static_cast<float>(known);
  float result = 0;
  narrowness = 0;
  if (hours_ < kHours) {
    usual_low_ = low, usual_high_ = high;
  } else {
    const float floor = 0.02f * std::abs(slow_) + kTiny;
    result = std::abs(distance(slow_, mean, floor));
    narrowness = std::max(0.0f, distance(usual_low_, low, floor)) + std::max(0.0f, distance(usual_high_, high, floor));
  }
  const float rate = 0.05f / rows_a_day();
  follow(usual_low_, low, rate);
  follow(usual_high_, high, rate);
  follow(slow_, value, rate);
  return result;
}

/// How much better the profile fits when the clock is set by some hours.
float StreamDetector::clock_shift(const HourOfWeek& when, float value) {
  constexpr int kMiddle = static_cast<int>(kShifts / 2);
  float best = 1e30f;
  for (int k = 0; k < static_cast<int>(kShifts); ++k) {
    auto& off = off_by_[static_cast<std::size_t>(k)];
    follow(off, std::abs(value - profile_.by_day(when, k - kMiddle)), 1 / (kClockDays * rows_a_day()));
    if (k != kMiddle) best = std::min(best, off);
  }
  const float unshifted = off_by_[kMiddle];
  return std::log((unshifted + kTiny) / (best + 0.02f * unshifted + kTiny));
}

/// Each way to deviate, 0 and more. Shape: the channels of jump (2), level (3), flat, ratio (2), volatility, clock,
/// range.
std::array<float, StreamDetector::kChannels> StreamDetector::deviations(const HourOfWeek& when, float value,
                                                                        float residual) {
  const float change = rows_ > 0 ? std::abs(value - value_back(1)) : 0;
  values_[rows_ % kRing] = value, residuals_[rows_ % kResiduals] = residual;
  smallest_ = std::min(smallest_, value), largest_ = std::max(largest_, value);
  std::array<float, kChannels> x{};
  if (rows_ >= 1) x[0] = jump_over(1);
  if (rows_ >= 7) x[1] = jump_over(4);
  if (rows_ >= 31) {
    float recent = 0, before = 0;
    for (std::uint32_t k = 0; k < 16; ++k) recent += value_back(k), before += value_back(k + 16);
    x[2] = std::abs(recent - before) / 16;
  }
  if (rows_ >= 16) x[5] = flatness();
  follow(short_off_, residual, 1 / kShortRows);
  follow(long_off_, residual, 1 / (kLongDays * rows_a_day()));
  follow(usual_changes_, change, 0.1f / rows_a_day());
  follow(changes_, change, 1 / kChangeRows);
  x[3] = std::abs(short_off_), x[4] = std::abs(long_off_);
  x[6] = std::abs(std::log((std::abs(level_) + kTiny) / (std::abs(value) + 0.02f * std::abs(level_) + kTiny)));
  x[7] = day_deviation(value, x[10]);
  x[8] = usual_changes_ > 0 ? changes_ / usual_changes_ : 0;
  x[9] = clock_shift(when, value);
  return x;
}

/// What of the sum is worth telling after what was told.
float StreamDetector::emit(float sum, const HourOfWeek& when) {
  peak_ = std::max(peak_, sum);
  const auto hour = static_cast<std::size_t>(when.hour);
  const float routine = std::max({usual_peak_[(hour + 23) % 24], usual_peak_[hour], usual_peak_[(hour + 1) % 24]});
  sum -= kPenalty * alarms_ + std::max(0.0f, routine - kRoutineFree);
  const float age = static_cast<float>(rows_ - last_alarm_);
  const float hold = std::clamp(kHoldShare * static_cast<float>(rows_), kHoldLeast, kHold);
  const float needed = bar_ > 0 && age < hold ? bar_ * (1 - kHoldMelts * age / hold) : 0;
  const float told = sum > needed ? sum : 0;
  if (told > 0) bar_ = told, last_alarm_ = rows_;
  alarms_ *= std::exp(-1 / kForgets);
  if (told > kCounts) alarms_ += 1;
  return told;
}

double StreamDetector::false_alarm_rate(double score) {
  return score > 0 ? std::pow(10, kRateAtZero + kRateSlope * score) : 1;
}

double StreamDetector::score_at(double false_alarm_rate) {
  return std::max(0.1, (std::log10(false_alarm_rate) - kRateAtZero) / kRateSlope);
}

StreamDetector::Judgement StreamDetector::judge(LocalTime at, double given) {
  // Registers that have nothing to say say so with the largest numbers there are.
  constexpr double kNoPower = 1e15;
  if (!(std::abs(given) <= kNoPower)) return {};
  auto value = static_cast<float>(given);
  if (rows_ == 0) start(at, value);
  // A reading from another world is odd enough at twice the range: learnt as it stands it would hide all that comes
  // after.
  const float range = largest_ - smallest_;
  if (rows_ >= kSettled && range > 0) value = std::clamp(value, smallest_ - range, largest_ + range);
  learn_interval(static_cast<float>(at.time_since_epoch().count() - last_));
  const auto when = HourOfWeek::of(at);
  end_hour(std::chrono::floor<std::chrono::hours>(at).time_since_epoch().count());
  const float by_day = profile_.by_day(when);
  const float expected =
      profile_.knows_week(when, 2 * rows_an_hour()) ? 0.5f * (by_day + profile_.by_week(when)) : by_day;
  const auto x = deviations(when, value, value - expected);
  std::array<float, kChannels> s;
  for (std::size_t k = 0; k < kChannels; ++k) s[k] = std::max(0.0f, surprises_[k](static_cast<double>(x[k])) - kOff);

  // Channels of a family tell the same thing in other words; families bear each other out.
  Judgement judgement{.expected = static_cast<double>(expected)};
  judgement.parts = {std::max(s[0], s[1]), std::max({s[2], s[3], s[4]}), s[5], std::max(s[6], s[7]), s[8], s[9], s[10]};
  float sum = 0;
  for (const float part : judgement.parts) sum += part;
  judgement.most = static_cast<Oddity>(std::ranges::max_element(judgement.parts) - judgement.parts.begin());
  judgement.score = static_cast<double>(emit(sum, when));
  profile_.learn(when, value, rows_an_hour(), level_);
  follow(level_, value, 1 / rows_a_day());
  last_ = at.time_since_epoch().count();
  ++rows_;
  return judgement;
}

void StreamDetector::write(ByteWriter& out) const {
  for (const auto& surprise : surprises_) surprise.write(out);
  profile_.write(out);
  for (const auto& ring :
       {std::span<const float>(usual_peak_), std::span<const float>(values_), std::span<const float>(residuals_),
        std::span<const float>(low_), std::span<const float>(high_), std::span<const float>(mean_),
        std::span<const float>(off_by_)})
    write_floats(out, ring);
  out.zigzag_varint(last_);
  out.zigzag_varint(hour_);
  write_floats(out, std::array{interval_s_, level_, slow_, usual_low_, usual_high_, short_off_, long_off_, changes_,
                               usual_changes_, smallest_, largest_, bar_, alarms_, peak_});
  for (const auto count : {rows_, last_alarm_, hours_, in_hour_}) out.varint(count);
}

StreamDetector StreamDetector::read(ByteReader& in) {
  StreamDetector detector;
  for (auto& surprise : detector.surprises_) surprise = Surprise::read(in);
  detector.profile_ = Profile::read(in);
  for (const auto ring :
       {std::span<float>(detector.usual_peak_), std::span<float>(detector.values_),
        std::span<float>(detector.residuals_), std::span<float>(detector.low_), std::span<float>(detector.high_),
        std::span<float>(detector.mean_), std::span<float>(detector.off_by_)})
    read_floats_into(in, ring);
  detector.last_ = in.zigzag_varint(), detector.hour_ = in.zigzag_varint();
  std::array<float, 14> numbers;
  read_floats_into(in, numbers);
  auto& d = detector;
  float* const places[] = {&d.interval_s_, &d.level_,    &d.slow_,    &d.usual_low_,     &d.usual_high_,
                           &d.short_off_,  &d.long_off_, &d.changes_, &d.usual_changes_, &d.smallest_,
                           &d.largest_,    &d.bar_,      &d.alarms_,  &d.peak_};
  for (std::size_t i = 0; i < numbers.size(); ++i) *places[i] = numbers[i];
  if (!(d.interval_s_ > 0)) throw BadBytes("an impossible interval");
  for (auto* count : {&d.rows_, &d.last_alarm_, &d.hours_, &d.in_hour_}) {
    const auto value = in.varint();
    if (value > 0xFFFFFFFF) throw BadBytes("an impossible count");
    *count = static_cast<std::uint32_t>(value);
  }
  return detector;
}

}  // namespace wattd::ml
