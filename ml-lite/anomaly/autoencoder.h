#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ml-lite/table.h"
#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

struct AutoencoderOptions {
  std::uint32_t hidden = 0;  ///< Units of the two outer layers; 0: twice the columns, at most 32.
  std::uint32_t code = 0;    ///< Units of the middle; 0: half the columns, at least 1.
  std::uint32_t updates = 4000;
  std::uint64_t seed = 1;
};

/// Learns to repeat rows through a narrow middle: a row that it cannot repeat breaks the relations between the columns
/// (power without current, heat without load). Needs columns that depend on each other; for outliers in single columns
/// the forest is better.
/// Threads: any, once fitted.
/// Source: Sakurada, Yairi 2014; Kingma, Ba 2015 (Adam).
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
  std::vector<double> standardised(std::span<const double> row) const;

  std::uint32_t hidden_ = 0, code_ = 0;
  std::vector<double> centres_, scales_;
  std::vector<double> errors_;   ///< Usual error of each column, standardised.
  std::vector<double> weights_;  ///< Of four layers, one behind the other: a matrix by columns, then its offsets.
};

}  // namespace wattd::ml
