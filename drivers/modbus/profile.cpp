#include "drivers/modbus/profile.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "config/counter.h"
#include "telemetry/measurand.h"

namespace wattd::drivers::modbus {
namespace {

Register parse_register(const config::Table& table) {
  Register row;
  row.measurand = table.text("measurand");
  const auto known = find_measurand(row.measurand);
  if (!known) table.fail("measurand", "expected a name of the vocabulary (docs/measurands.md)");
  row.unit = table.text("unit", std::string(known->unit));
  if (row.unit != known->unit) table.fail("unit", fmt::format("{} is measured in {}", row.measurand, known->unit));
  row.function = static_cast<int>(table.one_of("function", {3, 4}, 3));
  row.address = static_cast<int>(table.integer("address", 0, 65535));
  row.type = table.choice<RegisterType>("type",
                                        {{"uint16", RegisterType::uint16},
                                         {"int16", RegisterType::int16},
                                         {"uint32", RegisterType::uint32},
                                         {"int32", RegisterType::int32},
                                         {"uint64", RegisterType::uint64},
                                         {"int64", RegisterType::int64},
                                         {"float32", RegisterType::float32},
                                         {"float64", RegisterType::float64}},
                                        RegisterType::uint16);
  row.word_order =
      table.choice<WordOrder>("word_order", {{"big", WordOrder::big}, {"little", WordOrder::little}}, WordOrder::big);
  row.scale = table.number("scale", 1);
  if (row.scale == 0) table.fail("scale", "expected a factor other than 0");
  row.coding = table.choice<Coding>("coding", {{"plain", Coding::plain}, {"four_quadrant", Coding::four_quadrant}},
                                    Coding::plain);
  row.poll = table.choice<PollClass>("poll", {{"fast", PollClass::fast}, {"slow", PollClass::slow}}, PollClass::fast);
  row.experimental = table.boolean("experimental", false);
  row.counter = config::parse_counter_rules(table);
  if (row.counter != CounterRules{} && !known->counter)
    table.fail("measurand",
               fmt::format("{} is no counter: it has neither modulus, most_an_hour nor resolution", row.measurand));
  // A whole number's last digit is known.
  const bool is_whole = row.type != RegisterType::float32 && row.type != RegisterType::float64;
  if (known->counter && is_whole && row.counter.resolution == 0) row.counter.resolution = std::fabs(row.scale);
  if (table.has("sentinel")) row.sentinels.push_back(table.integer("sentinel", INT64_MIN, INT64_MAX));
  table.reject_unknown_keys();
  return row;
}

void check_rows(const config::Table& table, const Profile& profile) {
  std::set<std::string> names;
  for (const auto& row : profile.registers) {
    if (!names.insert(row.measurand).second) table.fail("registers", row.measurand + " appears twice");
    if (register_count(row.type) > profile.max_registers) {
      table.fail("registers", fmt::format("{} takes more registers than requests.max_registers", row.measurand));
    }
    if (row.end() > 65536) table.fail("registers", row.measurand + " ends beyond register 65535");
  }
}

}  // namespace

Profile parse_profile(const config::Table& table) {
  using namespace std::chrono_literals;
  Profile profile;
  const auto head = table.table("profile");
  profile.id = head.text("id");
  profile.vendor = head.text("vendor");
  profile.models = head.texts("models");
  profile.phases = static_cast<int>(head.integer("phases", 0, 3, 0));
  head.reject_unknown_keys();
  const auto requests = table.table("requests");
  profile.max_registers = static_cast<int>(requests.integer("max_registers", 1, 125, profile.max_registers));
  profile.max_gap = static_cast<int>(requests.integer("max_gap", 0, 124, 0));
  profile.alignment = static_cast<int>(requests.integer("alignment", 1, 4, 1));
  profile.delay = std::chrono::duration_cast<std::chrono::milliseconds>(requests.duration("delay", 0ms, 5s, 0ms));
  requests.reject_unknown_keys();
  for (const auto& row : table.tables("registers")) profile.registers.push_back(parse_register(row));
  if (profile.registers.empty()) table.fail("registers", "expected at least one register");
  table.reject_unknown_keys();
  check_rows(table, profile);
  return profile;
}

std::vector<std::string> list_profiles(const std::vector<std::string>& directories) {
  std::set<std::string> ids;
  for (const auto& directory : directories) {
    std::error_code missing;
    for (const auto& entry : std::filesystem::directory_iterator(directory, missing)) {
      if (entry.path().extension() == ".toml") ids.insert(entry.path().stem().string());
    }
  }
  return {ids.begin(), ids.end()};
}

Profile load_profile(const std::string& id, const std::vector<std::string>& directories) {
  for (const auto& directory : directories) {
    const auto path = std::filesystem::path(directory) / (id + ".toml");
    if (std::filesystem::exists(path)) return parse_profile(config::load_file(path.string()));
  }
  const auto known = list_profiles(directories);
  throw config::ConfigError(fmt::format("profile {:?} is not in {}; there are {}", id, fmt::join(directories, ", "),
                                        known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
}

}  // namespace wattd::drivers::modbus
