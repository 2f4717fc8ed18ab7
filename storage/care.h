#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "storage/store.h"
#include "telemetry/error.h"

namespace wattd::storage {

/// What looking through a whole database has found.
struct Inspection {
  std::int64_t schema = 0;
  std::uint64_t segments = 0, chunks = 0, readings = 0, rollups = 0;
  std::vector<std::string> problems;  ///< Each with its place; empty when it is sound.
};

/// Reads every page, segment and chunk; may run beside the daemon. What is sealed needs its key.
/// Errors: permanent when the file cannot be opened as a database.
Result<Inspection> inspect(const std::string& path, const Vault& vault = {});

/// What was saved from a damaged file.
struct Salvaged {
  std::uint64_t rows = 0;
  std::uint64_t lost = 0;  ///< Places where rows could not be read, or held nothing sound.
};

/// Copies what can still be read of a damaged database into a new one; sealed rows as they are, unseen without their
/// key. Errors: permanent when nothing can be read at all, or `target` exists.
Result<Salvaged> salvage(const std::string& damaged, const std::string& target, const Vault& vault = {});

/// Takes the devices, readings, rollups and dead letters of another database into the store. A reading that is there
/// already stays as it is, so that a repetition changes nothing.
/// Errors: as Store::commit; what was committed before stays.
Result<std::uint64_t> merge(const std::string& other, Store& store);

/// Puts a copy in the place of the database, which is kept beside it under the name that is returned.
/// The daemon has to stand still. Errors: permanent when the copy is not sound.
Result<std::string> restore(const std::string& backup, const std::string& database, const Vault& vault = {});

}  // namespace wattd::storage
