#include "ml-lite/anomaly/false_alarms.h"

#include <algorithm>

#include "ml-lite/model_file.h"

namespace wattd::ml {
namespace {

/// Beyond the highest fifty a rank in fifty is kept: rates are right to two per cent.
constexpr std::size_t kEach = 50;

}  // namespace

FalseAlarms::FalseAlarms(std::vector<double> scores) : all_(static_cast<double>(scores.size())) {
  std::ranges::sort(scores, std::greater{});
  for (std::size_t rank = 0; rank < scores.size();) {
    // Of equal scores all count.
    const auto from = scores.begin() + static_cast<std::ptrdiff_t>(rank);
    const auto as_high =
        static_cast<std::size_t>(std::ranges::upper_bound(from, scores.end(), *from, std::greater{}) - scores.begin());
    scores_.push_back(*from);
    rates_.push_back(static_cast<double>(1 + as_high) / (1 + all_));
    rank = std::max(as_high, rank + 1 + rank / kEach);
  }
}

double FalseAlarms::rate(double score) const {
  if (scores_.empty() || score > scores_.front()) return least();
  // What lies between two of those that were kept has the rate of the lower one.
  const auto found = std::ranges::lower_bound(scores_, score, std::greater{});
  return found == scores_.end() ? 1 : rates_[static_cast<std::size_t>(found - scores_.begin())];
}

void FalseAlarms::write(ByteWriter& out) const {
  out.real(all_);
  write_reals(out, scores_);
  write_reals(out, rates_);
}

FalseAlarms FalseAlarms::read(ByteReader& in) {
  FalseAlarms result;
  result.all_ = read_finite(in);
  result.scores_ = read_reals(in);
  result.rates_ = read_reals(in);
  if (!(result.all_ >= 1) || result.scores_.empty() || result.scores_.size() != result.rates_.size() ||
      !std::ranges::is_sorted(result.scores_, std::greater{}) || !std::ranges::is_sorted(result.rates_) ||
      result.rates_.front() <= 0 || result.rates_.back() > 1)
    throw BadBytes("impossible rates");
  return result;
}

}  // namespace wattd::ml
