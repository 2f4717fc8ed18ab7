#include "ml-lite/failure/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ml-lite/model_file.h"

namespace wattd::ml {
namespace {

constexpr std::size_t kLeastRows = 20;
constexpr int kMostSteps = 50;
constexpr double kLeastSlope = 0.05;  ///< A model that knows nothing is not turned round.

/// Trees that saw no failure like a row say 0, which is held to be one in ten thousand.
double log_odds(double probability) {
  const double held = std::clamp(probability, 1e-4, 1 - 1e-4);
  return std::log(held / (1 - held));
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

Result<Calibration> Calibration::fit(std::span<const double> probability, std::span<const double> failed) {
  const auto failures = std::ranges::count(failed, 1.0), others = std::ranges::count(failed, 0.0);
  if (static_cast<std::size_t>(failures + others) != failed.size() || probability.size() != failed.size())
    return fail(ErrorKind::permanent, "a row is neither 0 nor 1");
  if (failed.size() < kLeastRows || failures == 0 || others == 0)
    return fail(ErrorKind::permanent,
                fmt::format("{} rows with {} failures: at least {} rows are needed, failures and others among them",
                            failed.size(), failures, kLeastRows));
  Calibration line;
  // Newton's method on the likelihood with a normal prior of variance 1 around (0, 1), which makes it convex.
  for (int step = 0; step < kMostSteps; ++step) {
    double g0 = line.offset_, g1 = line.slope_ - 1, h00 = 1, h01 = 0, h11 = 1;
    for (std::size_t i = 0; i < failed.size(); ++i) {
      const double x = log_odds(probability[i]), p = logistic(line.offset_ + line.slope_ * x), w = p * (1 - p);
      g0 += p - failed[i], g1 += (p - failed[i]) * x;
      h00 += w, h01 += w * x, h11 += w * x * x;
    }
    const double determinant = h00 * h11 - h01 * h01;
    const double d0 = (h11 * g0 - h01 * g1) / determinant, d1 = (h00 * g1 - h01 * g0) / determinant;
    // A whole step may overshoot where the rows are far from the line.
    const double share = 1 / std::max(1.0, std::max(std::abs(d0), std::abs(d1)) / 2);
    line.offset_ -= share * d0, line.slope_ -= share * d1;
    if (std::abs(d0) + std::abs(d1) < 1e-10) break;
  }
  if (line.slope_ >= kLeastSlope) return line;
  // The slope is held; the rate of failures has to be right all the same.
  line.slope_ = kLeastSlope;
  for (int step = 0; step < kMostSteps; ++step) {
    double g = line.offset_, h = 1;
    for (std::size_t i = 0; i < failed.size(); ++i) {
      const double p = logistic(line.offset_ + line.slope_ * log_odds(probability[i]));
      g += p - failed[i], h += p * (1 - p);
    }
    const double change = std::clamp(g / h, -2.0, 2.0);
    line.offset_ -= change;
    if (std::abs(change) < 1e-10) break;
  }
  return line;
}

double Calibration::of(double probability) const {
  if (offset_ == 0 && slope_ == 1) return probability;
  return logistic(offset_ + slope_ * log_odds(probability));
}

void Calibration::write(ByteWriter& out) const { out.real(offset_), out.real(slope_); }

Calibration Calibration::read(ByteReader& in) {
  Calibration line;
  line.offset_ = read_finite(in), line.slope_ = read_finite(in);
  if (!(line.slope_ > 0)) throw BadBytes("an impossible calibration");
  return line;
}

}  // namespace wattd::ml
