#include "telemetry/meter_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace wattd {
namespace {

const Device* find(const std::string& id, std::span<const Device> devices) {
  const auto found = std::ranges::find(devices, id, &Device::id);
  return found == devices.end() || found->deleted_at ? nullptr : &*found;
}

std::unexpected<Error> unreadable(const Device& device, std::string_view rest) {
  return fail(
      ErrorKind::permanent,
      fmt::format(
          "the formula of {} cannot be read at {:?}; expected meters with + or - between them, such as MAIN - HVAC",
          device.id, rest));
}

/// Splits `A - "B 1" + C`.
Result<std::vector<MeterTerm>> parse(const Device& device) {
  std::vector<MeterTerm> terms;
  std::string_view rest(device.formula);
  const auto skip = [&] { rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size())); };
  for (skip(); !rest.empty(); skip()) {
    MeterTerm term;
    if (rest[0] == '+' || rest[0] == '-') {
      term.sign = rest[0] == '-' ? -1 : 1;
      rest.remove_prefix(1);
      skip();
    } else if (!terms.empty()) {
      return unreadable(device, rest);
    }
    const bool quoted = rest.starts_with('"');
    if (quoted) rest.remove_prefix(1);
    const auto end = quoted ? rest.find('"') : std::min(rest.find_first_of(" \t+-\""), rest.size());
    if (end == 0 || end == std::string_view::npos) return unreadable(device, rest);
    term.device_id = rest.substr(0, end);
    rest.remove_prefix(end + (quoted ? 1 : 0));
    terms.push_back(std::move(term));
  }
  if (terms.empty()) return unreadable(device, "");
  return terms;
}

Result<void> resolve(const std::string& id, int sign, std::span<const Device> devices, std::set<std::string>& above,
                     std::vector<MeterTerm>& terms) {
  const auto* device = find(id, devices);
  if (device == nullptr) return fail(ErrorKind::permanent, fmt::format("device {} is not known", id));
  if (device->role != MeterRole::virtual_meter) {
    terms.push_back({id, sign});
    return {};
  }
  if (!above.insert(id).second)
    return fail(ErrorKind::permanent, fmt::format("the formula of {} refers to itself", id));
  const auto parts = parse(*device);
  if (!parts) return std::unexpected(parts.error());
  for (const auto& part : *parts) {
    if (auto done = resolve(part.device_id, sign * part.sign, devices, above, terms); !done) return done;
  }
  above.erase(id);
  return {};
}

}  // namespace

Result<std::vector<MeterTerm>> terms_of(const std::string& device_id, std::span<const Device> devices) {
  std::vector<MeterTerm> terms;
  std::set<std::string> above;
  if (auto done = resolve(device_id, 1, devices, above, terms); !done) return std::unexpected(done.error());
  return terms;
}

Result<std::vector<MeterTerm>> terms_of_building(const std::string& building, std::span<const Device> devices) {
  const auto is_own_meter = [&](const Device& device) {
    return device.building == building && device.role != MeterRole::virtual_meter && !device.deleted_at;
  };
  std::vector<MeterTerm> terms;
  for (const auto& device : devices) {
    if (!is_own_meter(device)) continue;
    // A meter below another one of the building is counted there already, however far above that stands.
    bool below = false;
    std::set<std::string> seen;
    for (const auto* above = find(device.parent_id, devices); above != nullptr && seen.insert(above->id).second;
         above = find(above->parent_id, devices))
      below = below || is_own_meter(*above);
    if (!below) terms.push_back({device.id, 1});
  }
  if (terms.empty()) return fail(ErrorKind::permanent, fmt::format("building {} has no meter", building));
  return terms;
}

}  // namespace wattd
