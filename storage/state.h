#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "storage/database.h"

namespace wattd::storage {

/// The small facts that the store itself has to remember: the table `state`, one row a name.
std::int64_t load_number(Database& database, std::string_view name, std::int64_t fallback = 0);
std::string load_text(Database& database, std::string_view name, std::string fallback = {});
void save(Database& database, std::string_view name, std::int64_t value);
void save(Database& database, std::string_view name, std::string_view value);

}  // namespace wattd::storage
