#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "ml-lite/forecast/path.h"
#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

/// What was a season ago will be again: the forecast that every other has to beat.
/// Threads: any, once fitted; observe() from one.
class SeasonalNaive {
 public:
  static constexpr std::string_view kKind = "seasonal-naive";
  static constexpr std::uint8_t kVersion = 1;

  /// Shape: values at equal distances, none missing, at least two periods. Errors: permanent, for fewer.
  static Result<SeasonalNaive> fit(std::span<const double> values, std::size_t period);
  Path forecast(std::uint32_t steps) const;
  /// One more value; a missing one (NaN) is taken for that of a season ago.
  void observe(double value);

  void write(ByteWriter& out) const;
  static SeasonalNaive read(ByteReader& in);

 private:
  std::vector<double> last_;  ///< A season of values; the next step's is at next_.
  std::size_t next_ = 0;
  double deviation_ = 0;
};

}  // namespace wattd::ml
