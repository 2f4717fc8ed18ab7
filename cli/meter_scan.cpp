// Which meters are there, and how does a line want to be spoken to?
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <charconv>
#include <map>
#include <thread>

#include "cli/commands.h"
#include "cli/meter_target.h"
#include "drivers/modbus/port.h"
#include "drivers/modbus/scan.h"

namespace wattd::cli {
namespace {

using namespace std::chrono_literals;
using namespace drivers::modbus;

constexpr std::size_t kMostCandidates = 3;
constexpr auto kListen = 3s;  // for another master's frames
constexpr auto kPauseSerial = 40ms;

/// Units such as "1-10,247".
Result<std::vector<int>> units_in(const std::string& text) {
  std::vector<int> units;
  std::string_view rest(text);
  while (!rest.empty()) {
    const auto part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    const auto dash = part.find('-');
    int from = 0;
    int to = 0;
    const auto number = [](std::string_view digits, int& value) {
      const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      return problem == std::errc{} && end == digits.data() + digits.size() && value >= 1 && value <= 255;
    };
    const bool valid = number(part.substr(0, dash), from) &&
                       (dash == std::string_view::npos ? (to = from, true) : number(part.substr(dash + 1), to));
    if (!valid || to < from)
      return fail(ErrorKind::permanent,
                  fmt::format("--units is {:?}; expected units from 1 to 255 such as 1-10,247", text));
    for (int unit = from; unit <= to; ++unit) units.push_back(unit);
  }
  return units;
}

/// Another master on a serial line would be disturbed, and would disturb us.
Result<void> require_silence(const Address& address) {
  const auto port = serial_port(address);
  if (const auto opened = port->open(); !opened) return std::unexpected(opened.error());
  fmt::print(stderr, "listening for {} s whether another master works on {}\n", kListen.count(), address.device);
  const auto bytes = port->read(std::chrono::steady_clock::now() + kListen);
  if (!bytes) return std::unexpected(bytes.error());
  if (bytes->empty()) return {};
  return fail(ErrorKind::permanent,
              fmt::format("another master works on {}: it was heard within {} s. Stop it first, or scan through it",
                          address.device, kListen.count()));
}

void show_progress(int unit, std::size_t done, std::size_t all) {
  if (isatty(STDERR_FILENO) == 0) return;
  if (done == all) fmt::print(stderr, "\r\x1b[K");
  else fmt::print(stderr, "\r\x1b[Kunit {} ({} of {})", unit, done + 1, all);
  std::fflush(stderr);
}

std::vector<Profile> all_profiles(const std::vector<std::string>& directories) {
  std::vector<Profile> profiles;
  for (const auto& id : list_profiles(directories)) {
    try {
      profiles.push_back(load_profile(id, directories));
    } catch (const config::ConfigError& problem) {
      fmt::print(stderr, "{} is left out: {}\n", id, problem.what());
    }
  }
  return profiles;
}

Json::Value to_json(int unit, const std::vector<Candidate>& candidates) {
  Json::Value json;
  json["unit"] = unit;
  json["candidates"] = Json::arrayValue;
  for (const auto& candidate : candidates) {
    Json::Value one;
    one["profile"] = candidate.profile;
    one["experimental"] = candidate.experimental;
    one["identified"] = candidate.identified;
    one["instance"] = candidate.instance;
    one["plausible"] = candidate.plausible;
    one["idle"] = candidate.idle;
    one["doubtful"] = candidate.doubtful;
    for (const auto& [name, value] : candidate.values) one["values"][name] = value;
    json["candidates"].append(one);
  }
  return json;
}

/// Which of several models of one kind.
std::string instance_of(const Candidate& candidate) {
  return candidate.instance == 1 ? "" : fmt::format(", instance {}", candidate.instance);
}

void add_rows(Table& table, int unit, const std::vector<Candidate>& candidates) {
  if (candidates.empty())
    table.add({fmt::format("{}", unit), "?", "", "answers, but no profile fits; try wattctl meter read with one"});
  for (const auto& candidate : candidates) {
    std::vector<std::string> values;
    for (const auto& [name, value] : candidate.values) values.push_back(fmt::format("{} {:.6g}", name, value));
    table.add(
        {fmt::format("{}", unit), candidate.profile + instance_of(candidate),
         fmt::format("{} of {}{}{}", candidate.plausible, candidate.plausible + candidate.idle + candidate.doubtful,
                     candidate.identified ? ", says so itself" : "", candidate.experimental ? ", experimental" : ""),
         fmt::format("{}", fmt::join(values, "  "))});
  }
}

/// What to write into the configuration for the best of each unit.
void suggest(const MeterTarget& target, const std::vector<std::pair<int, Candidate>>& best) {
  if (best.empty()) return;
  fmt::print("\nIf the values are those of the display:\n\n");
  if (target.bus.empty()) {
    const auto address = address_of(target);
    fmt::print("[[buses]]\n");
    if (address.is_serial())
      fmt::print("device = \"{}\"\nbaud = {}\nparity = \"{}\"\nstop_bits = {}\n", address.device, address.baud,
                 target.parity, address.stop_bits);
    else
      fmt::print("host = \"{}\"\nport = {}\n{}", address.host, address.port,
                 address.rtu_over_tcp ? "framing = \"rtu\"\n" : "");
  }
  std::map<int, int> of_unit;
  for (const auto& [unit, candidate] : best) {
    const int number = ++of_unit[unit];
    fmt::print("  [[buses.meters]]\n  device = \"METER{0}{1}\"\n  unit = {0}\n  profile = \"{2}\"\n{3}", unit,
               number == 1 ? "" : fmt::format("-{}", number), candidate.profile,
               candidate.instance == 1 ? "" : fmt::format("  instance = {}\n", candidate.instance));
  }
}

/// One way in which a line may want to be spoken to.
struct Setting {
  Address address;
  std::string name;
};

std::vector<Setting> settings_to_try(const MeterTarget& target) {
  const auto given = address_of(target);
  if (!given.is_serial()) {
    auto framed = given;
    framed.rtu_over_tcp = false;
    auto bare = given;
    bare.rtu_over_tcp = true;
    return {{framed, "Modbus TCP"}, {bare, "RTU over TCP (framing = \"rtu\")"}};
  }
  std::vector<Setting> settings;
  const auto add = [&](int baud, char parity, int stop_bits) {
    auto address = given;
    address.baud = baud, address.parity = parity, address.stop_bits = stop_bits;
    const auto name = fmt::format("{} baud, 8{}{}", baud, parity, stop_bits);
    if (std::ranges::find(settings, name, &Setting::name) == settings.end()) settings.push_back({address, name});
  };
  // What was given, then what meters come with, the most usual first.
  add(given.baud, given.parity, given.stop_bits);
  for (const auto& [baud, parity, stop_bits] : {std::tuple{9600, 'N', 1},
                                                {9600, 'E', 1},
                                                {19200, 'E', 1},
                                                {2400, 'N', 1},
                                                {19200, 'N', 1},
                                                {38400, 'N', 1},
                                                {115200, 'N', 2},
                                                {9600, 'N', 2}})
    add(baud, parity, stop_bits);
  return settings;
}

}  // namespace

int scan_meters(Context& context, const MeterTarget& target) {
  const auto units = units_in(target.units);
  if (!units) return complain(units.error());
  const SystemClock clock;
  if (target.bus.empty() && !target.serial.empty()) {
    if (const auto silence = require_silence(address_of(target)); !silence) return complain(silence.error());
  }
  const auto problem = complaint_about(target);
  if (!problem.empty()) return complain({ErrorKind::permanent, problem});
  const auto link = link_to(context, target, clock);
  const bool is_tcp = target.bus.empty() && target.serial.empty();
  Scanner scanner(*link, all_profiles(target.profile_directories), is_tcp ? 0ms : kPauseSerial);
  Table table({"UNIT", "PROFILE", "FITS", "VALUES"});
  Json::Value json(Json::arrayValue);
  std::vector<std::pair<int, Candidate>> best;
  for (std::size_t i = 0; i < units->size(); ++i) {
    const int unit = (*units)[i];
    show_progress(unit, i, units->size());
    if (!scanner.is_there(unit)) continue;
    const auto candidates = scanner.identify(unit, kMostCandidates);
    // Several models of one device are several meters.
    for (const auto& candidate : candidates) {
      if (&candidate == &candidates.front() || (candidates.front().is_model && candidate.is_model))
        best.emplace_back(unit, candidate);
    }
    add_rows(table, unit, candidates);
    json.append(to_json(unit, candidates));
  }
  show_progress(0, units->size(), units->size());
  if (json.empty()) {
    return complain(
        {ErrorKind::retry, fmt::format("no unit of {} answers: {}; wattctl meter probe tries other settings",
                                       target.units, scanner.last_error())});
  }
  if (context.format == Format::json) print_json(json);
  else if (context.format == Format::csv) table.print_csv();
  else table.print(), suggest(target, best);
  return 0;
}

int probe_line(Context& context, const MeterTarget& target) {
  const SystemClock clock;
  if (const auto problem = complaint_about(target); !problem.empty()) return complain({ErrorKind::permanent, problem});
  if (!target.serial.empty()) {
    if (const auto silence = require_silence(address_of(target)); !silence) return complain(silence.error());
  }
  std::vector<int> units{target.unit};
  for (const int usual : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 247, 255}) {
    if (usual != target.unit) units.push_back(usual);
  }
  std::string last;
  const auto settings = settings_to_try(target);
  for (const auto& setting : settings) {
    const auto link = open_link(setting.address, clock);
    Scanner scanner(*link, {}, target.serial.empty() ? 0ms : kPauseSerial);
    for (std::size_t i = 0; i < units.size(); ++i) {
      show_progress(units[i], i, units.size());
      if (!scanner.is_there(units[i])) continue;
      show_progress(0, units.size(), units.size());
      if (context.format == Format::json) {
        Json::Value json;
        json["speaks"] = setting.name;
        json["unit"] = units[i];
        print_json(json);
      } else {
        fmt::print("{} speaks {}: unit {} answers\n", target.serial.empty() ? target.tcp : target.serial, setting.name,
                   units[i]);
      }
      return 0;
    }
    show_progress(0, units.size(), units.size());
    last = scanner.last_error();
    fmt::print(stderr, "{}: no answer\n", setting.name);
  }
  return complain(
      {ErrorKind::retry, fmt::format("nobody answers: {}. Check power, A and B, the address of the meter, and "
                                     "whether it speaks Modbus at all",
                                     last)});
}

}  // namespace wattd::cli
