#include "ml-lite/forecast/seasonal_naive.h"

#include <algorithm>
#include <cmath>

#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"

namespace wattd::ml {

Result<SeasonalNaive> SeasonalNaive::fit(std::span<const double> values, std::size_t period) {
  if (period == 0 || values.size() < 2 * period)
    return fail(ErrorKind::permanent, "the series is shorter than two periods");
  SeasonalNaive model;
  const auto last = values.last(period);
  model.last_.assign(last.begin(), last.end());
  // Not around the mean of what it is off: a drift is an error, too.
  model.deviation_ =
      std::max(1e-12, root_mean_squared_error(values.subspan(period), values.first(values.size() - period)));
  return model;
}

void SeasonalNaive::observe(double value) {
  if (std::isfinite(value)) last_[next_] = value;
  next_ = (next_ + 1) % last_.size();
}

Path SeasonalNaive::forecast(std::uint32_t steps) const {
  Path path;
  for (std::size_t h = 0; h < steps; ++h) {
    path.mean.push_back(last_[(next_ + h) % last_.size()]);
    path.deviation.push_back(deviation_ * std::sqrt(1 + static_cast<double>(h / last_.size())));
  }
  return path;
}

void SeasonalNaive::write(ByteWriter& out) const {
  out.real(deviation_);
  out.varint(next_);
  write_reals(out, last_);
}

SeasonalNaive SeasonalNaive::read(ByteReader& in) {
  SeasonalNaive model;
  model.deviation_ = read_finite(in);
  model.next_ = in.varint();
  model.last_ = read_reals(in);
  if (model.next_ >= model.last_.size() || !(model.deviation_ > 0)) throw BadBytes("an impossible season");
  return model;
}

}  // namespace wattd::ml
