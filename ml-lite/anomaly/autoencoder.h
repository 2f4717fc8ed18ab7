#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ml-lite/random.h"
#include "ml-lite/table.h"
#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

struct AutoencoderOptions {
  std::uint32_t hidden = 0;  ///< Units of the two outer layers; 0: twice the columns, at most 32.
  std::uint32_t code = 1;    ///< Units of the middle: how many quantities, like the load, move all the columns.
  std::uint32_t networks = 4;
  std::uint32_t updates = 4000;  ///< Of each.
  std::uint64_t seed = 1;
};

/// Networks that learn to repeat rows through a narrow middle: a row that they cannot repeat breaks the relations
/// between the columns (power without current, heat without load). Everything is told in robust spreads, so that odd
/// rows among those that are learnt from do not become the measure. Needs columns that depend on each other; for
/// outliers in single columns the forest is better. Threads: any, once fitted. Source: Sakurada, Yairi 2014; Chen et
/// al. 2017 (several networks); Kingma, Ba 2015 (Adam).
class Autoencoder {
 public:
  static constexpr std::string_view kKind = "autoencoder";
  static constexpr std::uint8_t kVersion = 1;

  /// A missing value (NaN) takes its column's median.
  /// Errors: permanent, for fewer than ten rows or more than 256 columns.
  static Result<Autoencoder> fit(const Table& rows, const AutoencoderOptions& options = {});

  /// Mean square of what was not repeated, each column in its usual errors: about 1 for what is like the others.
  double score(std::span<const double> row) const;
  std::vector<double> score(const Table& rows) const;
  /// Each column's part of the score. Shape: a share a column.
  std::vector<double> explain(std::span<const double> row) const;
  std::size_t columns() const { return centres_.size(); }

  void write(ByteWriter& out) const;
  static Autoencoder read(ByteReader& in);

 private:
  struct Network {
    std::vector<double> weights;  ///< Of four layers, one behind the other: a matrix by columns, then its offsets.
    std::vector<double> errors;   ///< Usual error of each column, standardised.
  };

  std::vector<double> standardised(std::span<const double> row) const;
  void learn_scales(const Table& rows);
  Network train(const Table& rows, std::uint32_t updates, Random& random) const;
  /// Square of what a network did not repeat of each column. Shape: one a column.
  std::vector<double> squares(const Network& network, std::span<const double> standardised) const;

  std::uint32_t hidden_ = 0, code_ = 0;
  std::vector<double> centres_, scales_;
  std::vector<Network> networks_;
};

}  // namespace wattd::ml
