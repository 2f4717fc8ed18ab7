#include "drivers/modbus/profile.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <set>

#include "config/counter.h"
#include "telemetry/measurand.h"

namespace wattd::drivers::modbus {
namespace {

constexpr std::size_t kMostNamed = 20;

void parse_meaning(const config::Table& table, const Measurand& known, Register& row) {
  row.word_order =
      table.choice<WordOrder>("word_order", {{"big", WordOrder::big}, {"little", WordOrder::little}}, WordOrder::big);
  row.scale = table.number("scale", 1);
  if (row.scale == 0) table.fail("scale", "expected a factor other than 0");
  row.offset = table.number("offset", 0);
  if (table.has("scale_register")) row.scale_register = static_cast<int>(table.integer("scale_register", 0, 65535));
  row.coding = table.choice<Coding>("coding", {{"plain", Coding::plain}, {"four_quadrant", Coding::four_quadrant}},
                                    Coding::plain);
  row.sentinels = table.integers("sentinel");
  row.counter = config::parse_counter_rules(table);
  if (row.counter != CounterRules{} && !known.counter) {
    table.fail("measurand",
               fmt::format("{} is no counter: it has neither modulus, most_an_hour nor resolution", row.measurand));
  }
  // A whole number's last digit is known.
  const bool is_whole =
      row.type != RegisterType::float32 && row.type != RegisterType::float64 && row.type != RegisterType::string;
  if (known.counter && is_whole && !row.scale_register && row.counter.resolution == 0)
    row.counter.resolution = std::fabs(row.scale);
}

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
                                         {"float64", RegisterType::float64},
                                         {"string", RegisterType::string}},
                                        RegisterType::uint16);
  if (row.type == RegisterType::string) row.text_registers = static_cast<int>(table.integer("registers", 1, 125));
  parse_meaning(table, *known, row);
  row.access = table.choice<Access>("access", {{"read", Access::read}, {"alone", Access::alone}}, Access::read);
  row.poll = table.choice<PollClass>("poll", {{"fast", PollClass::fast}, {"slow", PollClass::slow}}, PollClass::fast);
  row.experimental = table.boolean("experimental", false);
  row.note = table.text("note", "");
  table.reject_unknown_keys();
  return row;
}

/// In capitals or not.
bool is_within(const std::string& part, const std::string& text) {
  const auto same = [](unsigned char a, unsigned char b) { return std::toupper(a) == std::toupper(b); };
  return !std::ranges::search(text, part, same).empty();
}

Identity parse_identity(const config::Table& table) {
  Identity identity;
  if (table.has("product")) {
    identity.product = table.text("product");
    if (identity.product.size() < 3) table.fail("product", "expected at least 3 bytes: less stands there by chance");
    identity.is_telling = table.boolean("telling", true);
    table.reject_unknown_keys();
    return identity;
  }
  auto& place = identity.place;
  place.measurand = "identity";
  place.function = static_cast<int>(table.one_of("function", {3, 4}, 3));
  place.address = static_cast<int>(table.integer("address", 0, 65535));
  if (table.has("text")) {
    place.type = RegisterType::string;
    place.text_registers = static_cast<int>(table.integer("registers", 1, 125));
    identity.text = table.text("text");
    const auto room = static_cast<std::size_t>(2 * place.text_registers);
    if (identity.text.size() < 3 || identity.text.size() > room)
      table.fail("text", fmt::format("expected 3 to {} bytes: less stands there by chance", room));
  } else {
    place.type = table.choice<RegisterType>(
        "type", {{"uint16", RegisterType::uint16}, {"uint32", RegisterType::uint32}, {"uint64", RegisterType::uint64}},
        RegisterType::uint16);
    identity.values = table.integers("values");
    if (identity.values.empty()) table.fail("values", "expected what stands in the register, or text");
    const auto most = place.count() == 4 ? INT64_MAX : (std::int64_t{1} << 16 * place.count()) - 1;
    for (const auto value : identity.values) {
      if (value < 0 || value > most)
        table.fail("values", fmt::format("has {}; expected numbers from 0 to {}", value, most));
    }
  }
  identity.is_telling = table.boolean("telling", place.count() > 1);
  if (place.end() > 65536) table.fail("address", "ends beyond register 65535");
  table.reject_unknown_keys();
  return identity;
}

/// Two rows in one register contradict each other, as a rule that was copied and not changed; parts of a wider one do,
/// too.
void check_overlaps(const config::Table& table, const Profile& profile) {
  std::vector<const Register*> rows;
  for (const auto& row : profile.registers) rows.push_back(&row);
  std::ranges::sort(rows, {}, [](const Register* row) { return std::tuple(row->function, row->address); });
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const auto& before = *rows[i - 1];
    const auto& row = *rows[i];
    if (before.function != row.function || row.address >= before.address + before.count()) continue;
    table.fail("registers", fmt::format("{} at {} overlaps {} at {}; expected each register in one row", row.measurand,
                                        row.address, before.measurand, before.address));
  }
}

void check_row(const config::Table& table, const Profile& profile, const Register& row) {
  if (row.end() - row.first() > profile.max_registers) {
    table.fail("address", fmt::format("{} takes {} registers at once; requests.max_registers is {}", row.measurand,
                                      row.end() - row.first(), profile.max_registers));
  }
  if (row.end() > 65536) table.fail("address", row.measurand + " ends beyond register 65535");
}

/// Rows that replace one of the same measurand, and new ones.
void add_rows(const config::Table& table, Profile& profile) {
  std::set<std::string> names;
  for (const auto& one : table.tables("registers")) {
    auto row = parse_register(one);
    if (!names.insert(row.measurand).second) one.fail("measurand", row.measurand + " appears twice");
    check_row(one, profile, row);
    const auto old = std::ranges::find(profile.registers, row.measurand, &Register::measurand);
    if (old != profile.registers.end()) *old = std::move(row);
    else profile.registers.push_back(std::move(row));
  }
}

/// The file of a profile in the first directory from `from` on that has it.
std::optional<std::size_t> find_file(const std::string& id, const std::vector<std::string>& directories,
                                     std::size_t from) {
  for (auto i = from; i < directories.size(); ++i) {
    if (std::filesystem::exists(std::filesystem::path(directories[i]) / (id + ".toml"))) return i;
  }
  return std::nullopt;
}

Profile load_from(const std::string& id, const std::vector<std::string>& directories, std::size_t from, int depth) {
  const auto where = find_file(id, directories, from);
  if (!where) {
    auto known = list_profiles(directories);
    const auto all = known.size();
    // Of hundreds those that begin like it; a name that is nothing like any of them gets the first few.
    const auto alike = [&](const std::string& other) { return other.starts_with(id.substr(0, 3)); };
    if (std::ranges::any_of(known, alike)) std::erase_if(known, [&](const std::string& one) { return !alike(one); });
    known.resize(std::min(known.size(), kMostNamed));
    throw config::ConfigError(
        fmt::format("profile {:?} is not in {}; there are {}{}", id, fmt::join(directories, ", "),
                    known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")),
                    known.size() < all ? fmt::format(" and others: wattctl meter profiles lists all {}", all) : ""));
  }
  const auto table = config::load_file((std::filesystem::path(directories[*where]) / (id + ".toml")).string());
  const auto head = table.table("profile");
  const auto base = head.text("extends", "");
  if (base.empty()) return parse_profile(table);
  if (depth > 4) head.fail("extends", "leads in a circle");
  return parse_profile(table, load_from(base, directories, base == id ? *where + 1 : 0, depth + 1));
}

}  // namespace

bool Identity::holds(std::span<const std::uint16_t> words) const {
  const auto value = decode(place, words);
  if (!value) return false;
  if (const auto number = as_number(*value)) {
    return std::ranges::any_of(values, [&](std::int64_t one) { return static_cast<double>(one) == *number; });
  }
  const auto* found = std::get_if<std::string>(&*value);
  return found != nullptr && is_within(text, *found);
}

bool Identity::holds(const std::vector<std::string>& names) const {
  return !product.empty() &&
         std::ranges::any_of(names, [&](const std::string& one) { return is_within(product, one); });
}

Profile parse_profile(const config::Table& table, Profile base) {
  using namespace std::chrono_literals;
  auto& profile = base;
  const auto head = table.table("profile");
  profile.id = head.text("id");
  const bool extends = head.has("extends");
  profile.vendor = extends ? head.text("vendor", profile.vendor) : head.text("vendor");
  if (!extends || head.has("models")) profile.models = head.texts("models");
  profile.phases = static_cast<int>(head.integer("phases", 0, 3, profile.phases));
  profile.experimental = head.boolean("experimental", profile.experimental);
  if (head.has("sunspec")) {
    profile.sunspec.clear();
    for (const auto model : head.integers("sunspec")) profile.sunspec.push_back(static_cast<int>(model));
  }
  (void)head.text("extends", "");
  const auto omitted = head.has("omit") ? head.texts("omit") : std::vector<std::string>{};
  for (const auto& name : omitted) {
    if (std::erase_if(profile.registers, [&](const Register& row) { return row.measurand == name; }) == 0)
      head.fail("omit", fmt::format("{} is not in the profile that this one extends", name));
  }
  head.reject_unknown_keys();
  const auto requests = table.table("requests");
  profile.max_registers = static_cast<int>(requests.integer("max_registers", 1, 125, profile.max_registers));
  profile.max_gap = static_cast<int>(requests.integer("max_gap", 0, 124, profile.max_gap));
  profile.alignment = static_cast<int>(requests.integer("alignment", 1, 4, profile.alignment));
  profile.delay =
      std::chrono::duration_cast<std::chrono::milliseconds>(requests.duration("delay", 0ms, 5s, profile.delay));
  requests.reject_unknown_keys();
  add_rows(table, profile);
  check_overlaps(table, profile);
  if (table.has("identity")) profile.identities.clear();
  for (const auto& one : table.tables("identity")) profile.identities.push_back(parse_identity(one));
  if (profile.registers.empty()) table.fail("registers", "expected at least one register");
  table.reject_unknown_keys();
  return base;
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
  return load_from(id, directories, 0, 0);
}

}  // namespace wattd::drivers::modbus
