#pragma once
#include "storage/database.h"

namespace wattd::storage {

/// The version this program writes; the database keeps its own in `PRAGMA user_version`.
int newest_schema();

/// Errors: throws SqlError (as for a damaged file) when the database has a newer schema than this program knows.
void require_known_schema(Database& database);

/// Brings an older database up to the newest schema, or to an older one, one transaction a step.
/// Errors: throws SqlError; a newer schema than this program knows is refused untouched.
void migrate(Database& database, int to = newest_schema());

}  // namespace wattd::storage
