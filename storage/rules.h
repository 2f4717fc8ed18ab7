#pragma once
#include <optional>
#include <string>
#include <vector>

#include "storage/database.h"
#include "telemetry/rule.h"

namespace wattd::storage {

/// Every rule that is not deleted, by name.
std::vector<Rule> load_rules(Database& database);
/// A deleted one, too.
std::optional<Rule> load_rule(Database& database, const std::string& id);
/// Inserts a rule or replaces what is known of it; when it was triggered stays. Within a transaction.
void put_rule(Database& database, const Rule& rule, Timestamp now);
/// Leaves the row, for the alerts that name it. Within a transaction.
void delete_rule(Database& database, const std::string& rule_id, Timestamp now);
/// Replaces what files provisioned: rules whose origin is gone are archived, the rest is inserted or updated. Within a
/// transaction.
void provision_rules(Database& database, const std::vector<Rule>& rules, Timestamp now);

}  // namespace wattd::storage
