#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ml-lite/table.h"
#include "telemetry/bytes.h"
#include "telemetry/error.h"

namespace wattd::ml {

/// How events at the same time share what was at risk. Efron's is the closer one where there are many.
enum class Ties : std::uint8_t { efron, breslow };

struct CoxOptions {
  Ties ties = Ties::efron;
  double ridge =
      0;  ///< Penalty on the squared coefficients of standardised columns; for columns that depend on each other.
};

/// Proportional hazards: what makes units fail earlier or later, from histories of which many have not failed yet.
/// Threads: any, once fitted.
/// Source: Cox 1972; Efron 1977; Breslow 1974 (ties and baseline).
class Cox {
 public:
  static constexpr std::string_view kKind = "cox";
  static constexpr std::uint8_t kVersion = 1;

  /// Newton's method on the partial likelihood.
  /// Shape: a time above or at 0, and an event (1) or the end of what is known (0), for each row.
  /// Errors: permanent, for missing values, no event, a column that never changes or depends on the others.
  static Result<Cox> fit(const Table& rows, std::span<const double> time, std::span<const double> event,
                         const CoxOptions& options = {});

  const std::vector<double>& coefficients() const { return coefficients_; }
  /// Of the coefficients; not kept in the file.
  const std::vector<double>& standard_errors() const { return standard_errors_; }
  double log_likelihood() const { return log_likelihood_; }

  /// The logarithm of how many times likelier than the average row's its failure is at any time.
  double risk(std::span<const double> row) const;
  /// The chance to be without failure up to `time`.
  double survival(std::span<const double> row, double time) const;
  /// The time at which survival falls to `share`; infinity when it does not as far as is known.
  double time_until(std::span<const double> row, double share) const;
  /// Each column's part of the risk. Shape: a share a column.
  std::vector<double> explain(std::span<const double> row) const;
  std::size_t columns() const { return coefficients_.size(); }

  void write(ByteWriter& out) const;
  static Cox read(ByteReader& in);

 private:
  std::vector<double> coefficients_;
  std::vector<double> means_;
  std::vector<double> times_;    ///< Of events, ascending.
  std::vector<double> hazards_;  ///< Cumulative, of the average row, at each.
  double log_likelihood_ = 0;
  std::vector<double> standard_errors_;
};

}  // namespace wattd::ml
