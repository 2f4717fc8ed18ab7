#include "ml-lite/trees/boosting.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ml-lite/measures.h"
#include "ml-lite/model_file.h"
#include "ml-lite/training_rows.h"
#include "ml-lite/trees/grow.h"

namespace wattd::ml {
namespace {

double logistic(double sum) { return 1 / (1 + std::exp(-sum)); }

/// The best constant: where boosting starts.
double start_of(std::span<const double> target, const BoostingOptions& options) {
  if (options.loss == Loss::quantile) return quantile({target.begin(), target.end()}, options.quantile);
  const double mean = std::accumulate(target.begin(), target.end(), 0.0) / static_cast<double>(target.size());
  if (options.loss == Loss::squared) return mean;
  const double held = std::clamp(mean, 1e-6, 1 - 1e-6);
  return std::log(held / (1 - held));
}

trees::Slope slope_of(double sum, double target, const BoostingOptions& options) {
  switch (options.loss) {
    case Loss::logistic: {
      const double p = logistic(sum);
      return {static_cast<float>(p - target), static_cast<float>(std::max(p * (1 - p), 1e-9))};
    }
    case Loss::quantile: return {static_cast<float>(target > sum ? -options.quantile : 1 - options.quantile), 1};
    case Loss::squared: break;
  }
  return {static_cast<float>(sum - target), 1};
}

/// One round: a tree on what is left, whose leaves with quantile loss take the quantile of what lies in them.
class Round {
 public:
  Round(const trees::Bins& bins, std::span<const double> target, const BoostingOptions& options, trees::Trees& trees)
      : bins_(bins),
        target_(target),
        options_(options),
        trees_(trees),
        random_(options.seed),
        slopes_(target.size()),
        leaf_(target.size()),
        growth_{.depth = std::min<std::uint32_t>(options.depth, 64),
                .leaves = options.leaves,
                .least_weight = 1e-6,
                .least_rows = std::max(1U, options.least_rows),
                .ridge = options.ridge,
                .tree_columns = options.columns} {}

  void run(std::vector<double>& sums) {
    for (std::size_t row = 0; row < sums.size(); ++row) slopes_[row] = slope_of(sums[row], target_[row], options_);
    draw();
    const auto first = trees_.nodes().size();
    trees::grow(trees_, bins_, slopes_, rows_, growth_, random_, std::span(leaf_).first(rows_.size()));
    if (options_.loss == Loss::quantile) requantile(sums);
    for (auto i = first; i < trees_.nodes().size(); ++i) trees_.nodes()[i].value *= static_cast<float>(options_.rate);
    const auto tree = trees_.size() - 1;
    if (rows_.size() == sums.size()) {
      for (std::size_t i = 0; i < rows_.size(); ++i)
        sums[rows_[i]] += static_cast<double>(trees_.nodes()[leaf_[i]].value);
    } else {
      for (std::size_t row = 0; row < sums.size(); ++row) sums[row] += trees_.value_in(tree, bins_, row);
    }
  }

 private:
  void draw() {
    rows_.clear();
    for (std::uint32_t row = 0; row < target_.size(); ++row) {
      if (options_.rows_share >= 1 || random_.uniform() < options_.rows_share) rows_.push_back(row);
    }
    if (rows_.empty()) rows_.push_back(0);
  }

  void requantile(const std::vector<double>& sums) {
    std::vector<double> left;
    for (std::size_t from = 0, to = 0; from < rows_.size(); from = to) {
      left.clear();
      for (to = from; to < rows_.size() && leaf_[to] == leaf_[from]; ++to)
        left.push_back(target_[rows_[to]] - sums[rows_[to]]);
      const auto count = static_cast<double>(left.size());
      const auto value = quantile(left, options_.quantile) * count / (count + options_.ridge);
      trees_.nodes()[leaf_[from]].value = static_cast<float>(value);
    }
  }

  const trees::Bins& bins_;
  std::span<const double> target_;
  const BoostingOptions& options_;
  trees::Trees& trees_;
  Random random_;
  std::vector<trees::Slope> slopes_;
  std::vector<std::uint32_t> rows_;
  std::vector<std::uint32_t> leaf_;
  trees::Growth growth_;
};

}  // namespace

Result<GradientBoosting> GradientBoosting::fit(const Table& rows, std::span<const double> target,
                                               const BoostingOptions& options) {
  if (auto refused = check_training(rows, target)) return std::unexpected(*refused);
  if (options.loss == Loss::logistic &&
      !std::ranges::all_of(target, [](double value) { return value == 0 || value == 1; })) {
    return fail(ErrorKind::permanent, "the target is to be 0 or 1 in every row");
  }
  if (options.loss == Loss::logistic &&
      std::ranges::all_of(target, [&](double value) { return value == target.front(); }))
    return fail(ErrorKind::permanent, "nothing has failed yet, or everything: there is nothing to learn from");
  GradientBoosting model;
  model.columns_ = rows.columns();
  model.loss_ = options.loss;
  model.start_ = start_of(target, options);
  const trees::Bins bins(rows, options.bins);
  std::vector<double> sums(rows.rows(), model.start_);
  Round round(bins, target, options, model.trees_);
  for (std::uint32_t tree = 0; tree < options.trees; ++tree) round.run(sums);
  return model;
}

double GradientBoosting::linked(double sum) const { return loss_ == Loss::logistic ? logistic(sum) : sum; }

std::vector<double> GradientBoosting::predict(const Table& rows) const {
  std::vector<double> values(rows.rows(), start_);
  trees_.add(rows, values);
  for (double& value : values) value = linked(value);
  return values;
}

std::vector<double> GradientBoosting::explain(std::span<const double> row) const {
  std::vector<double> shares(columns_);
  trees_.explain(row, shares);
  return shares;
}

void GradientBoosting::write(ByteWriter& out) const {
  out.varint(columns_);
  out.byte(static_cast<std::uint8_t>(loss_));
  out.real(start_);
  trees_.write(out);
}

GradientBoosting GradientBoosting::read(ByteReader& in) {
  GradientBoosting model;
  model.columns_ = in.varint();
  if (model.columns_ == 0 || model.columns_ > kMostColumns) throw BadBytes("an impossible number of columns");
  const auto loss = in.byte();
  if (loss > static_cast<std::uint8_t>(Loss::quantile)) throw BadBytes("an unknown loss");
  model.loss_ = static_cast<Loss>(loss);
  model.start_ = read_finite(in);
  model.trees_ = trees::Trees::read(in, model.columns_);
  return model;
}

}  // namespace wattd::ml
