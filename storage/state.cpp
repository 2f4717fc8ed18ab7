#include "storage/state.h"

namespace wattd::storage {

std::int64_t load_number(Database& database, std::string_view name, std::int64_t fallback) {
  Statement row(database, "SELECT value FROM state WHERE name=?");
  row.bind(name);
  return row.step() ? row.integer(0) : fallback;
}

std::string load_text(Database& database, std::string_view name, std::string fallback) {
  Statement row(database, "SELECT value FROM state WHERE name=?");
  row.bind(name);
  return row.step() ? row.text(0) : std::move(fallback);
}

void save(Database& database, std::string_view name, std::int64_t value) {
  Statement(database, "INSERT OR REPLACE INTO state VALUES (?,?)").bind(name).bind(value).run();
}

void save(Database& database, std::string_view name, std::string_view value) {
  Statement(database, "INSERT OR REPLACE INTO state VALUES (?,?)").bind(name).bind(value).run();
}

}  // namespace wattd::storage
