#include "config/counter.h"

#include <cmath>

namespace wattd::config {

CounterRules parse_counter_rules(const Table& table) {
  CounterRules rules;
  for (const auto& [key, value] : {std::pair{"modulus", &rules.modulus},
                                   {"most_an_hour", &rules.most_an_hour},
                                   {"resolution", &rules.resolution}}) {
    if (!table.has(key)) continue;
    *value = table.number(key);
    if (!(*value > 0) || !std::isfinite(*value)) table.fail(key, "expected a number above 0, in the counter's unit");
  }
  if (rules.modulus > 0 && rules.resolution >= rules.modulus)
    table.fail("resolution", "expected less than the modulus");
  return rules;
}

void overlay(CounterRules& rules, const CounterRules& over) {
  if (over.modulus > 0) rules.modulus = over.modulus;
  if (over.most_an_hour > 0) rules.most_an_hour = over.most_an_hour;
  if (over.resolution > 0) rules.resolution = over.resolution;
}

}  // namespace wattd::config
