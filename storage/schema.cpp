#include "storage/schema.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <array>

#include "storage/migrations.h"

namespace wattd::storage {
namespace {

const std::array kMigrations{kSchema1, kSchema2, kSchema3, kSchema4, kSchema5};

}  // namespace

int newest_schema() { return static_cast<int>(kMigrations.size()); }

void require_known_schema(Database& database) {
  const auto found = static_cast<int>(database.pragma("user_version"));
  if (found <= newest_schema()) return;
  throw SqlError(SQLITE_NOTADB, fmt::format("the database has schema {}, this program knows {}; install the newer "
                                            "wattd again or set the file aside",
                                            found, newest_schema()));
}

void migrate(Database& database, int to) {
  require_known_schema(database);
  const auto found = static_cast<int>(database.pragma("user_version"));
  for (int version = found; version < to; ++version) {
    Transaction transaction(database);
    database.execute(kMigrations[version]);
    database.execute(fmt::format("PRAGMA user_version={}", version + 1));
    transaction.commit();
  }
}

}  // namespace wattd::storage
