#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <tuple>

#include "cli/meter_target.h"
#include "cli/remote_link.h"
#include "drivers/modbus/plan.h"
#include "drivers/modbus/scan.h"
#include "drivers/modbus/sunspec.h"
#include "telemetry/clock.h"
#include "telemetry/time.h"

namespace wattd::cli {

using namespace drivers::modbus;

namespace {

constexpr int kUsualPort = 502;

/// Of host, host:port, [::1] and [::1]:port. Shape: the port is 0 where it is no port.
std::pair<std::string, int> host_and_port(std::string_view text) {
  auto end = text.rfind(':');
  const bool is_bracketed = text.starts_with('[');
  const auto bracket = text.find(']');
  if (is_bracketed && bracket == std::string_view::npos) return {std::string(text), 0};
  if (is_bracketed && bracket + 1 != (end == std::string_view::npos || end < bracket ? text.size() : end))
    return {std::string(text), 0};  // something between the bracket and the port
  if (end != std::string_view::npos && is_bracketed && end < bracket) end = std::string_view::npos;
  if (!is_bracketed && std::ranges::count(text, ':') > 1) end = std::string_view::npos;  // an IPv6 address alone
  auto host = text.substr(0, end);
  if (is_bracketed) host = host.substr(1, bracket - 1);
  if (end == std::string_view::npos) return {std::string(host), kUsualPort};
  const auto digits = text.substr(end + 1);
  int port = 0;
  const auto [stop, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  const bool is_port = problem == std::errc{} && stop == digits.data() + digits.size() && port >= 1 && port <= 65535;
  return {std::string(host), is_port ? port : 0};
}

}  // namespace

std::string complaint_about(const MeterTarget& target) {
  if (target.tcp.empty()) return "";
  const auto [host, port] = host_and_port(target.tcp);
  if (port > 0 && !host.empty()) return "";
  return fmt::format("--tcp is {:?}; expected host or host:port with a port from 1 to 65535", target.tcp);
}

Address address_of(const MeterTarget& target) {
  Address address;
  address.device = target.serial;
  address.baud = target.baud;
  address.parity = target.parity == "even" ? 'E' : target.parity == "odd" ? 'O' : 'N';
  address.stop_bits = target.stop_bits;
  if (!target.tcp.empty()) std::tie(address.host, address.port) = host_and_port(target.tcp);
  address.timeout = std::chrono::milliseconds{target.timeout_ms};
  address.rtu_over_tcp = target.rtu_over_tcp;
  return address;
}

std::unique_ptr<Link> link_to(Context& context, const MeterTarget& target, const Clock& clock) {
  if (target.bus.empty()) return open_link(address_of(target), clock);
  return std::make_unique<RemoteLink>(context.client, target.bus, std::chrono::milliseconds{target.timeout_ms});
}

namespace {

std::string words_text(std::span<const std::uint16_t> words) {
  std::vector<std::string> texts;
  for (const auto word : words) texts.push_back(fmt::format("{:04x}", word));
  return fmt::format("{}", fmt::join(texts, " "));
}

/// What a person should know of a row.
std::string remark_on(const Register& row) {
  if (!row.experimental) return row.note;
  return row.note.empty() ? "experimental" : "experimental; " + row.note;
}

/// Whom to ask, and what to add to the profile's addresses.
struct Place {
  int unit = 1;
  int base = 0;
};

std::string name_of(const InOrder& order) {
  if (!order.bytes_swapped) return order.least_word_first ? "words little" : "big";
  return order.least_word_first ? "little" : "bytes swapped";
}

/// What the words say in each order, for a meter whose order nobody knows: the one in which all of them make sense.
void add_orders(const Register& row, std::span<const std::uint16_t> words, Table& table, Json::Value& json) {
  std::string range = "-";
  if (const auto known = plausible_range(row.measurand)) {
    range = fmt::format("{} to {}", known->least, known->most);
    json["plausible_from"] = known->least, json["plausible_to"] = known->most;
  }
  for (const auto& order : in_every_order(row, words)) {
    Json::Value one;
    one["order"] = name_of(order);
    if (order.value && std::isfinite(*order.value)) one["value"] = *order.value;
    std::string verdict;
    if (const auto fits = is_plausible(row.measurand, order.value.value_or(NAN)); order.value && fits.has_value()) {
      one["plausible"] = *fits;
      verdict = *fits ? "plausible" : "no";
    }
    json["orders"].append(one);
    table.add({row.measurand, name_of(order), order.value ? fmt::format("{:.6g}", *order.value) : "-", row.unit, range,
               verdict});
  }
}

/// Reads the rows of a request, one by one where the meter refuses them together.
void read_into(Link& link, const Place& place, const Request& request, Table& table, Table& orders, Json::Value& json,
               int& failures) {
  const auto answer = link.read(place.unit, request.function, place.base + request.address, request.count);
  if (!answer && answer.error().kind == ErrorKind::unsupported && request.rows.size() > 1) {
    for (const auto* row : request.rows) {
      const Request single{row->function, row->first(), row->end() - row->first(), 0, {row}};
      read_into(link, place, single, table, orders, json, failures);
    }
    return;
  }
  for (const auto* row : request.rows) {
    Json::Value one;
    one["measurand"] = row->measurand;
    one["unit"] = row->unit;
    one["address"] = place.base + row->address;
    std::string value = "-";
    std::string words;
    if (answer) {
      words = words_text(words_of(*row, request, *answer));
      add_orders(*row, words_of(*row, request, *answer), orders, one);
      if (const auto decoded = value_in(*row, request, *answer)) {
        value = to_text(*decoded);
        if (const auto number = as_number(*decoded)) one["value"] = *number;
        else one["value"] = value;
      }
    } else {
      ++failures;
      words = answer.error().message;
      one["error"] = words;
    }
    one["words"] = words;
    if (!row->note.empty()) one["note"] = row->note;
    json.append(one);
    table.add({row->measurand, value, row->unit, fmt::format("{}", place.base + row->address), words, remark_on(*row)});
  }
}

}  // namespace

int read_meter(Context& context, const MeterTarget& target) {
  try {
    const auto profile = load_profile(target.profile, target.profile_directories);
    const SystemClock clock;
    if (const auto problem = complaint_about(target); !problem.empty())
      return complain({ErrorKind::permanent, problem});
    if (target.instance > 1 && profile.sunspec.empty())
      return complain({ErrorKind::permanent, "--instance is for profiles of SunSpec models"});
    const auto link = link_to(context, target, clock);
    Table table({"MEASURAND", "VALUE", "UNIT", "ADDRESS", "WORDS", ""});
    Table orders({"MEASURAND", "ORDER", "VALUE", "UNIT", "A PLANT HAS", ""});
    Json::Value json(Json::arrayValue);
    int failures = 0;
    const auto base = base_of(*link, target.unit, profile, target.instance);
    if (!base) return complain(base.error());
    for (const auto& request : plan(profile, Rows::all, target.experimental)) {
      read_into(*link, {target.unit, *base}, request, table, orders, json, failures);
    }
    // The same reason a hundred times helps nobody.
    if (failures > 0 && failures == static_cast<int>(json.size()))
      return complain({ErrorKind::retry, json[0]["error"].asString()});
    const auto& shown = target.orders ? orders : table;
    if (context.format == Format::json) print_json(json);
    else context.format == Format::csv ? shown.print_csv() : shown.print();
    return failures == 0 ? 0 : 1;
  } catch (const config::ConfigError& problem) {
    return complain({ErrorKind::permanent, problem.what()});
  }
}

int explain_meter(Context& context, const MeterTarget& target) {
  try {
    const auto profile = load_profile(target.profile, target.profile_directories);
    const Line line{.baud = target.tcp.empty() ? target.baud : 0};
    Table table({"CLASS", "REQUEST", "FUNCTION", "ADDRESS", "MODICON", "REGISTERS", "BYTES", "MEASURANDS"});
    Json::Value json(Json::arrayValue);
    int number = 0;
    for (const auto rows : {Rows::fast, Rows::all}) {
      for (const auto& request : plan(profile, rows, target.experimental, line)) {
        Json::Value one;
        one["class"] = rows == Rows::fast ? "fast" : "all";
        one["function"] = request.function;
        one["address"] = request.address;
        one["registers"] = request.count;
        std::vector<std::string> names;
        for (const auto* row : request.rows) names.push_back(row->measurand), one["measurands"].append(row->measurand);
        json.append(one);
        const int modicon = (request.function == 4 ? 30001 : 40001) + request.address;
        table.add({one["class"].asString(), fmt::format("{}", ++number), fmt::format("{}", request.function),
                   fmt::format("{}", request.address), fmt::format("{}", modicon), fmt::format("{}", request.count),
                   fmt::format("{}", 8 + 5 + 2 * request.count), fmt::format("{}", fmt::join(names, " "))});
      }
    }
    if (context.format == Format::json) {
      print_json(json);
      return 0;
    }
    if (context.format == Format::csv) {
      table.print_csv();
      return 0;
    }
    table.print();
    const auto fast = bus_time(plan(profile, Rows::fast, target.experimental, line), profile, target.baud);
    const auto all = bus_time(plan(profile, Rows::all, target.experimental, line), profile, target.baud);
    fmt::print(
        "\nOn a line of {} baud a poll of the fast rows takes about {}, one of all rows {}, pauses of {} included.\n",
        target.baud, format_duration(fast), format_duration(all), format_duration(profile.delay));
    return 0;
  } catch (const config::ConfigError& problem) {
    return complain({ErrorKind::permanent, problem.what()});
  }
}

int list_meter_profiles(Context& context, const MeterTarget& target) {
  Table table({"PROFILE", "VENDOR", "MODELS", ""});
  Json::Value json(Json::arrayValue);
  for (const auto& id : list_profiles(target.profile_directories)) {
    try {
      const auto profile = load_profile(id, target.profile_directories);
      table.add({id, profile.vendor, fmt::format("{}", fmt::join(profile.models, ", ")),
                 profile.experimental ? "experimental" : ""});
    } catch (const config::ConfigError& problem) {
      table.add({id, "BROKEN", problem.what(), ""});
    }
    json.append(id);
  }
  if (context.format == Format::json) print_json(json);
  else context.format == Format::csv ? table.print_csv() : table.print();
  return 0;
}

}  // namespace wattd::cli
