#pragma once
#include <string>
#include <vector>

#include "storage/database.h"

namespace wattd::storage {

/// The numbers of the databases in a directory, in order: `wattd.db` is the first, `wattd-2.db` the second.
std::vector<int> databases_in(const std::string& directory);
std::string database_path(const std::string& directory, int number);

/// The database that a store looks at first: the one with the highest number. It need not exist.
std::string newest_database(const std::string& directory);

/// A file that says that a database was found to be damaged while it was in use: much of it is never read at a start.
std::string damage_marker(const std::string& path);

/// Opens or creates one candidate, migrates it, and looks at every table that is read at a start.
/// Errors: throws SqlError when it is not to be used (damaged, of a newer schema, a key is missing), and leaves it
/// untouched then, its log included.
void try_open(const std::string& path, const Vault& vault);

/// Sets a connection up as the writer's.
void configure_writer(Database& database);

}  // namespace wattd::storage
