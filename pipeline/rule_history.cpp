#include "pipeline/rule_history.h"

#include <algorithm>

#include "telemetry/log.h"

namespace wattd::pipeline {
namespace {

constexpr std::chrono::minutes kLately{10};

}  // namespace

void StoredHistory::visit(const std::string& device, const std::vector<std::string>& fields, TimeRange range,
                          const std::function<void(const Reading&)>& take) {
  const auto visited = reader_.visit(device, fields, range, [&](const Reading& stored) {
    take(stored);
    return true;
  });
  if (!visited) log::warning(device + ": rules begin without what it said before: " + visited.error().message);
}

std::vector<std::string> StoredHistory::fields_of(const std::string& device, const std::string& property) {
  auto known = series_.find(device);
  if (known == series_.end())
    known = series_.emplace(device, reader_.series_of(device).value_or(std::vector<storage::SeriesInfo>{})).first;
  std::vector<std::string> fields;
  for (const auto& series : known->second) {
    if (series.field == property) return {property};
    if (series.measurand == property) fields.push_back(series.field);
  }
  return fields;
}

const std::vector<storage::Latest>& StoredHistory::latest_of(const std::string& device) {
  auto known = latest_.find(device);
  if (known == latest_.end())
    known = latest_.emplace(device, reader_.latest(device).value_or(std::vector<storage::Latest>{})).first;
  return known->second;
}

std::optional<Timestamp> StoredHistory::last_seen(const std::string& device, const std::string& property) {
  if (!property.empty()) {
    const auto fields = fields_of(device, property);
    std::optional<Timestamp> last;
    for (const auto& one : latest_of(device)) {
      if (std::ranges::find(fields, one.series.field) != fields.end())
        last = last ? std::max(*last, one.sample.at) : one.sample.at;
    }
    return last;
  }
  // One look for all who were still there when the gateway stopped; the others are asked for one by one.
  if (!lately_) {
    lately_.emplace();
    const auto looked = reader_.visit_unpacked(seen_at_open_ - kLately, [this](const Reading& stored) {
      auto& last = (*lately_)[stored.device_id];
      last = std::max(last, stored.at);
    });
    if (!looked) log::warning("who was silent before the start is looked up one by one: " + looked.error().message);
  }
  if (const auto recent = lately_->find(device); recent != lately_->end()) return recent->second;
  std::optional<Timestamp> last;
  for (const auto& one : latest_of(device)) last = last ? std::max(*last, one.sample.at) : one.sample.at;
  return last;
}

}  // namespace wattd::pipeline
