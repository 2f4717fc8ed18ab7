#pragma once
#include <cstdint>
#include <span>

#include "ml-lite/random.h"
#include "ml-lite/trees/bins.h"
#include "ml-lite/trees/tree.h"

namespace wattd::ml::trees {

/// What keeps a tree small.
struct Growth {
  std::uint32_t depth = 4;            ///< Steps from the root to a leaf, at most 64.
  std::uint32_t leaves = 0xFFFFFFFF;  ///< The best splits first.
  double least_weight = 1;            ///< Sum of curvatures in a leaf.
  std::uint32_t least_rows = 1;
  double ridge = 0;                         ///< Added to the curvature of a leaf: draws its value towards 0.
  std::uint32_t columns = 0xFFFFFFFF;       ///< So many at random are looked at for each split.
  std::uint32_t tree_columns = 0xFFFFFFFF;  ///< So many at random make up the whole tree: quicker than for each split.
};

/// Slope and curvature of a row's loss where the prediction stands: squared loss has (prediction - target, 1).
struct Slope {
  float slope;
  float curvature;
};

/// Grows one tree on `rows`, whose order is changed so that the rows of a leaf stand together, each leaf's value being
/// -sum of slopes / (sum of curvatures + ridge). Trees of a forest come of slopes (-target, 1).
/// Shape: a slope for each row of `bins`; `rows` may repeat one.
/// `leaf_of`, where not empty, gets the leaf's node for each place in `rows`.
/// Source: Chen, Guestrin 2016 (gain), Ke et al. 2017 (histograms, leaves best first).
void grow(Trees& trees, const Bins& bins, std::span<const Slope> slopes, std::span<std::uint32_t> rows,
          const Growth& growth, Random& random, std::span<std::uint32_t> leaf_of = {});

}  // namespace wattd::ml::trees
