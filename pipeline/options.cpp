#include "pipeline/options.h"

namespace wattd::pipeline {

Options parse_options(const config::Table& table) {
  using namespace std::chrono_literals;
  Options options;
  options.commit_interval = std::chrono::duration_cast<std::chrono::milliseconds>(
      table.duration("commit_interval", 5ms, 1min, options.commit_interval));
  options.intake_capacity = static_cast<std::size_t>(table.integer("intake_capacity", 100, 1'000'000, 20'000));
  options.max_ahead =
      std::chrono::duration_cast<std::chrono::minutes>(table.duration("max_ahead", 1min, 24h, options.max_ahead));
  options.adjusted_counters = table.boolean("adjusted_counters", options.adjusted_counters);
  table.reject_unknown_keys();
  return options;
}

}  // namespace wattd::pipeline
