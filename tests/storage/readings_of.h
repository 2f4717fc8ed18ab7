#pragma once
#include <vector>

#include "storage/batch.h"

namespace wattd::storage {

/// What a sink gets, as readings.
inline std::vector<Reading> readings_of(const Batch& batch) {
  std::vector<Reading> readings;
  for (const auto& rows : batch.parts) {
    for (std::size_t row = 0; row < rows.size(); ++row) readings.push_back(rows.reading(row));
  }
  return readings;
}

}  // namespace wattd::storage
