#pragma once
#include "config/table.h"
#include "telemetry/counter.h"

namespace wattd::config {

/// The keys `modulus`, `most_an_hour` and `resolution` of a table, whatever else it has.
/// Units: the counter's own. Errors: throws ConfigError.
CounterRules parse_counter_rules(const Table& table);

/// What `over` knows wins.
void overlay(CounterRules& rules, const CounterRules& over);

}  // namespace wattd::config
