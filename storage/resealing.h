#pragma once
#include <optional>
#include <string>

#include "storage/database.h"
#include "storage/dead_letters.h"

namespace wattd::storage {

/// Which key the database is sealed with that is not there, as a sentence; nothing when all are.
std::optional<std::string> missing_key(Database& database);

/// Checks that every key that the database is sealed with is there, and takes note of a new one: what was written
/// before is then to be sealed anew.
/// Errors: throws SqlError (as for a damaged file) when a key is missing.
void require_keys(Database& database);

/// Whether something is still sealed with an older key, or not at all.
bool is_resealing(Database& database);

/// Seals some more of what was written before under the newest key, about 256 kB, within the caller's transaction.
/// When all of it is done, older keys are forgotten. Errors: throws SqlError.
void reseal_some(Database& database, DeadLetters& letters);

}  // namespace wattd::storage
