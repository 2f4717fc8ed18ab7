#pragma once
#include <optional>
#include <span>
#include <vector>

#include "ml-lite/random.h"
#include "ml-lite/table.h"
#include "telemetry/error.h"

namespace wattd::ml {

/// More columns than any gateway has; a file that claims more is hostile.
inline constexpr std::size_t kMostColumns = 65'535;

/// Why a model cannot be fitted on these rows; nothing when it can. Values may be missing, targets may not.
std::optional<Error> check_training(const Table& rows, std::span<const double> target);

/// Rows some of whose indices were picked. Shape: the picked rows, in that order.
Table pick(const Table& rows, std::span<const std::uint32_t> indices);
std::vector<double> pick(std::span<const double> values, std::span<const std::uint32_t> indices);

/// The median of each column, of at most 10,000 rows at random; 0 where nothing is known. Shape: one a column.
std::vector<float> medians_of(const Table& rows, Random& random);

/// Fills `chosen` with that many different numbers below `limit`. Source: Floyd 1987.
void choose_distinct(std::span<std::uint32_t> chosen, std::size_t limit, Random& random);

/// A fold, 0 to `folds` - 1, for each row: rows of a group share theirs, and in each fold rare targets (`strata`) are
/// as frequent as in all. Shape: a group for each row; `strata` empty or one for each row.
/// Source: Kohavi 1995.
std::vector<std::uint32_t> folds_of(std::span<const std::uint32_t> groups, std::span<const double> strata,
                                    std::uint32_t folds, std::uint64_t seed);

}  // namespace wattd::ml
