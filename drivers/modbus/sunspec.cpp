#include "drivers/modbus/sunspec.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace wattd::drivers::modbus {
namespace {

constexpr std::array kBases{40000, 50000, 0};
constexpr std::uint16_t kMarkerHigh = 0x5375;  // "Su"
constexpr std::uint16_t kMarkerLow = 0x6E53;   // "nS"
constexpr std::uint16_t kEnd = 0xFFFF;
constexpr std::size_t kMostModels = 100;
constexpr int kLongestModel = 1000;

Result<int> find_marker(Link& link, int unit) {
  for (const int base : kBases) {
    const auto words = link.read(unit, 3, base, 2);
    if (words && (*words)[0] == kMarkerHigh && (*words)[1] == kMarkerLow) return base;
    if (!words && words.error().kind == ErrorKind::retry) return std::unexpected(words.error());
  }
  return fail(ErrorKind::unsupported,
              fmt::format("unit {} is no SunSpec device: no marker at {}", unit, fmt::join(kBases, ", ")));
}

}  // namespace

Result<std::vector<SunspecModel>> walk_sunspec(Link& link, int unit) {
  const auto base = find_marker(link, unit);
  if (!base) return std::unexpected(base.error());
  std::vector<SunspecModel> models;
  for (int address = *base + 2; models.size() < kMostModels && address < 65534;) {
    const auto header = link.read(unit, 3, address, 2);
    if (!header) return std::unexpected(header.error());
    const int id = (*header)[0];
    const int length = (*header)[1];
    if (id == kEnd || length > kLongestModel) break;
    models.push_back({id, address, length});
    address += 2 + length;
  }
  return models;
}

Result<int> base_of(Link& link, int unit, const Profile& profile, int instance) {
  if (profile.sunspec.empty()) return 0;
  const auto models = walk_sunspec(link, unit);
  if (!models) return std::unexpected(models.error());
  const int wanted = instance;
  std::vector<int> found;
  for (const auto& model : *models) {
    if (std::ranges::find(profile.sunspec, model.id) != profile.sunspec.end() && --instance == 0) return model.address;
    found.push_back(model.id);
  }
  return fail(ErrorKind::unsupported,
              fmt::format("unit {} has {} of the SunSpec models {}; it has {}", unit, wanted == 1 ? "none" : "too few",
                          fmt::join(profile.sunspec, ", "), fmt::join(found, ", ")));
}

}  // namespace wattd::drivers::modbus
