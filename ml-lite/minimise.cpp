#include "ml-lite/minimise.h"

#include <Eigen/Core>
#include <cmath>
#include <limits>

namespace wattd::ml {
namespace {

using Eigen::VectorXd;

class Hill {
 public:
  explicit Hill(const std::function<double(const std::vector<double>&)>& function) : function_(function) {}

  double at(const VectorXd& x) {
    ++calls;
    const double value = function_({x.begin(), x.end()});
    return std::isfinite(value) ? value : std::numeric_limits<double>::max();
  }
  VectorXd slope(const VectorXd& x) {
    VectorXd slope(x.size()), moved = x;
    for (Eigen::Index i = 0; i < x.size(); ++i) {
      const double step = 1e-5 * std::max(1.0, std::abs(x[i]));
      moved[i] = x[i] + step;
      const double above = at(moved);
      moved[i] = x[i] - step;
      slope[i] = (above - at(moved)) / (2 * step);
      moved[i] = x[i];
    }
    return slope;
  }

  int calls = 0;

 private:
  const std::function<double(const std::vector<double>&)>& function_;
};

}  // namespace

Minimum minimise(const std::function<double(const std::vector<double>&)>& function, std::vector<double> start,
                 int most_steps, double tolerance) {
  Hill hill(function);
  VectorXd x = Eigen::Map<VectorXd>(start.data(), static_cast<Eigen::Index>(start.size()));
  double value = hill.at(x);
  VectorXd slope = hill.slope(x);
  Eigen::MatrixXd inverse = Eigen::MatrixXd::Identity(x.size(), x.size());
  bool fresh = true;
  for (int step = 0; step < most_steps; ++step) {
    VectorXd move = -inverse * slope;
    if (!(move.dot(slope) < 0)) inverse.setIdentity(), fresh = true, move = -slope;
    // The first step knows nothing of the scale: one unit at most.
    if (const double length = move.norm(); length > (fresh ? 0.5 : 5.0)) move *= (fresh ? 0.5 : 5.0) / length;
    double share = 1, next = hill.at(x + move);
    while (!(next <= value + 1e-4 * share * move.dot(slope)) && share > 1e-8) next = hill.at(x + (share /= 2) * move);
    if (!(next < value)) {
      if (fresh) break;
      inverse.setIdentity(), fresh = true;
      continue;
    }
    const VectorXd moved = share * move;
    const double gained = value - next;
    x += moved, value = next;
    const VectorXd before = slope;
    slope = hill.slope(x);
    const VectorXd turned = slope - before;
    if (const double bend = moved.dot(turned); bend > 1e-12) {
      if (fresh) inverse = Eigen::MatrixXd::Identity(x.size(), x.size()) * (bend / turned.squaredNorm());
      const VectorXd turn = inverse * turned;
      inverse += (1 + turned.dot(turn) / bend) / bend * moved * moved.transpose() -
                 (turn * moved.transpose() + moved * turn.transpose()) / bend;
      fresh = false;
    }
    if (gained < tolerance * (std::abs(value) + tolerance) &&
        slope.lpNorm<Eigen::Infinity>() < 1e-3 * (1 + std::abs(value)))
      break;
  }
  return {{x.begin(), x.end()}, value, hill.calls};
}

}  // namespace wattd::ml
