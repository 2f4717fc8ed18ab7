#pragma once
#include <Eigen/Core>
#include <cmath>

namespace wattd::ml {

/// Moves parameters downhill, each with a step of its own. Source: Kingma, Ba 2015.
class Adam {
 public:
  explicit Adam(Eigen::Index parameters, double rate = 0.003)
      : rate_(rate), mean_(Eigen::VectorXd::Zero(parameters)), square_(Eigen::VectorXd::Zero(parameters)) {}

  void step(Eigen::Ref<Eigen::VectorXd> parameters, const Eigen::VectorXd& slope) {
    constexpr double kMean = 0.9, kSquare = 0.999;
    mean_power_ *= kMean, square_power_ *= kSquare;
    mean_ = kMean * mean_ + (1 - kMean) * slope;
    square_ = kSquare * square_ + (1 - kSquare) * slope.cwiseAbs2();
    parameters.array() -=
        rate_ * (mean_.array() / (1 - mean_power_)) / ((square_.array() / (1 - square_power_)).sqrt() + 1e-8);
  }
  void slow_down(double share) { rate_ *= share; }

 private:
  double rate_;
  double mean_power_ = 1, square_power_ = 1;
  Eigen::VectorXd mean_, square_;
};

}  // namespace wattd::ml
