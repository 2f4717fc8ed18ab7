#pragma once
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "config/table.h"
#include "drivers/mqtt/subscription.h"
#include "rules/engine.h"

namespace wattd::pipeline {

/// How groups are cut and how much may wait.
struct Options {
  std::chrono::milliseconds commit_interval{1000};  ///< What an unrepeatable reading can lose to a power cut.
  std::size_t max_group = 10'000;                   ///< Readings in one transaction.
  std::size_t intake_capacity = 20'000;             ///< Messages and readings waiting to be looked at.
  std::chrono::minutes max_ahead{5};                ///< A device's stamp further in the future is a dead letter.
  std::chrono::days raw_retention{90};              ///< So is one older than this.
  bool adjusted_counters = true;                    ///< Beside each counter of energy, what it has counted.
  rules::Options rules;
  std::vector<drivers::mqtt::Subscription> subscriptions{{"devices/+/telemetry"}};  ///< How messages are read.
};

/// Reads [pipeline]. Errors: throws config::ConfigError.
Options parse_options(const config::Table& table);

}  // namespace wattd::pipeline
