#pragma once
#include "storage/database.h"
#include "telemetry/error.h"

namespace wattd::storage {

/// Runs `work` and turns what SQLite throws into an Error.
template <class Work>
auto guarded(Work work) -> Result<decltype(work())> {
  try {
    return work();
  } catch (const SqlError& problem) {
    return std::unexpected(problem.to_error());
  }
}

}  // namespace wattd::storage
