#include "sync/filter.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kStretches = 32;  // live readings and late ones come in turns

bool matches(const std::vector<std::string>& patterns, const std::string& name) {
  return std::ranges::any_of(
      patterns, [&](const std::string& pattern) { return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0; });
}

Quality parse_flags(const config::Table& table, const char* key) {
  auto flags = Quality::good;
  for (const auto& name : table.texts(key)) {
    const auto flag = quality_from(name);
    if (!flag)
      table.fail(key, fmt::format("there is no flag {:?}; docs/measurands.md names them, such as \"stale\"", name));
    flags |= *flag;
  }
  return flags;
}

}  // namespace

bool FilterConfig::is_everything() const {
  return devices.empty() && fields.empty() && not_devices.empty() && not_fields.empty() && without == Quality::good &&
         every == 0us;
}

FilterConfig parse_filter(const config::Table& table) {
  return {.devices = table.texts("devices"),
          .fields = table.texts("fields"),
          .not_devices = table.texts("not_devices"),
          .not_fields = table.texts("not_fields"),
          .without = parse_flags(table, "without_quality"),
          .every = table.duration("every", 0us, 24h, 0us)};
}

bool Filter::wants_device(const std::string& id) const {
  return (config_.devices.empty() || matches(config_.devices, id)) && !matches(config_.not_devices, id);
}

bool Filter::wants_field(const std::string& name) const {
  const auto field = config_.by_series ? name.substr(0, name.rfind('_')) : name;
  return (config_.fields.empty() || matches(config_.fields, field)) && !matches(config_.not_fields, field);
}

bool Filter::is_first_of_its_stretch(const std::string& device, std::int64_t at_us) {
  if (config_.every == 0us) return true;
  const auto stretch = at_us / config_.every.count();
  auto& kept = kept_[device];
  if (std::ranges::find(kept, stretch) != kept.end()) return false;
  kept.push_back(stretch);
  if (kept.size() > kStretches) kept.pop_front();
  return true;
}

storage::Rows Filter::filtered(const storage::Rows& rows) {
  const auto& all = *rows.block;
  storage::Rows chosen{.device_id = rows.device_id};
  storage::Block block{.device_key = all.device_key,
                       .at_us = all.at_us,
                       .received_us = all.received_us,
                       .versions = all.versions,
                       .qualities = all.qualities};
  for (std::size_t i = 0; i < all.columns.size(); ++i) {
    if (!wants_field(rows.fields[i])) continue;
    chosen.fields.push_back(rows.fields[i]);
    auto& column = block.columns.emplace_back(all.columns[i]);
    if (column.qualities.empty() || config_.without == Quality::good) continue;
    if (column.present.empty()) column.present.assign(all.rows(), 1);
    for (std::size_t row = 0; row < all.rows(); ++row) {
      if (has(column.quality(row), config_.without)) column.present[row] = 0;
    }
  }
  std::vector<std::uint32_t> wanted;
  for (std::uint32_t row = 0; row < all.rows(); ++row) {
    const bool says_something =
        std::ranges::any_of(block.columns, [&](const storage::Column& column) { return column.has(row); });
    if (says_something && !has(all.quality(row), config_.without) &&
        is_first_of_its_stretch(rows.device_id, all.at_us[row]))
      wanted.push_back(row);
  }
  chosen.block =
      std::make_shared<const storage::Block>(wanted.size() < all.rows() ? block.pick(wanted) : std::move(block));
  return chosen;
}

void Filter::apply(storage::Batch& batch) {
  if (config_.is_everything()) return;
  std::vector<storage::Rows> kept;
  for (const auto& rows : batch.parts) {
    if (!wants_device(rows.device_id)) continue;
    auto chosen = filtered(rows);
    if (chosen.size() > 0) kept.push_back(std::move(chosen));
  }
  batch.parts = std::move(kept);
}

}  // namespace wattd::sync
