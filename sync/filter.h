#pragma once
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "config/table.h"
#include "storage/batch.h"

namespace wattd::sync {

/// Which of the readings a sink gets.
struct FilterConfig {
  std::vector<std::string> devices, fields;          ///< Patterns with * and ?; none: all.
  std::vector<std::string> not_devices, not_fields;  ///< Of those.
  Quality without = Quality::good;                   ///< Values that carry any of these flags stay here.
  bool by_series = false;                            ///< Names of fields have the statistic's behind: `power_max`.
  std::chrono::microseconds every{0};                ///< One reading a device in each stretch of this; 0: all.

  bool is_everything() const;
};

/// Reads the keys of a filter from a [[sinks]] table. Errors: throws config::ConfigError.
FilterConfig parse_filter(const config::Table& table);

/// Takes out of batches what a sink does not get. Threads: one at a time.
class Filter {
 public:
  explicit Filter(FilterConfig config) : config_(std::move(config)) {}

  void apply(storage::Batch& batch);
  /// What was let through was not sent after all: of a stretch, another reading may go.
  void forget() { kept_.clear(); }
  const FilterConfig& config() const { return config_; }

 private:
  bool wants_device(const std::string& id) const;
  bool wants_field(const std::string& field) const;
  bool is_first_of_its_stretch(const std::string& device, std::int64_t at_us);
  storage::Rows filtered(const storage::Rows& rows);

  const FilterConfig config_;
  std::map<std::string, std::deque<std::int64_t>> kept_;  ///< Stretches of each device of which a reading went lately.
};

}  // namespace wattd::sync
