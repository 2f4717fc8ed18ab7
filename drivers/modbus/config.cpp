#include <fmt/format.h>

#include "drivers/modbus/bus.h"
#include "telemetry/reading.h"

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

std::chrono::milliseconds milliseconds(std::chrono::microseconds duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration);
}

MeterConfig parse_meter(const config::Table& table, const std::vector<std::string>& directories) {
  MeterConfig meter;
  meter.device_id = table.text("device");
  if (!is_valid_device_id(meter.device_id)) {
    table.fail("device", "expected 1 to 50 printable characters without / + #");
  }
  meter.unit = static_cast<int>(table.integer("unit", 1, 255, 1));
  const auto profile = table.text("profile");
  try {
    meter.profile = load_profile(profile, directories);
  } catch (const config::ConfigError& problem) {
    table.fail("profile", problem.what());
  }
  meter.instance = static_cast<int>(table.integer("instance", 1, 20, 1));
  if (meter.instance > 1 && meter.profile.sunspec.empty())
    table.fail("instance", "is for profiles of SunSpec models, of which a device may have several");
  meter.fast = milliseconds(table.duration("fast", 50ms, 24h, 1s));
  meter.slow = milliseconds(table.duration("slow", 50ms, 24h, std::max<std::chrono::microseconds>(15s, meter.fast)));
  if (meter.slow < meter.fast)
    table.fail("slow", "expected at least as long as fast: its turns read the fast rows, too");
  meter.experimental = table.boolean("experimental", false);
  table.reject_unknown_keys();
  return meter;
}

}  // namespace

BusConfig parse_bus(const config::Table& table, const std::vector<std::string>& directories) {
  BusConfig bus;
  auto& address = bus.address;
  address.device = table.text("device", "");
  address.host = table.text("host", "");
  if (address.device.empty() == address.host.empty()) {
    table.fail("device", "expected either device (a serial line) or host (Modbus TCP)");
  }
  bus.id = table.text("id", address.is_serial() ? address.device : address.host);
  if (address.is_serial()) {
    address.baud =
        static_cast<int>(table.one_of("baud", {1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200}, address.baud));
    address.parity = table.choice<char>("parity", {{"none", 'N'}, {"even", 'E'}, {"odd", 'O'}}, 'N');
    address.stop_bits = static_cast<int>(table.one_of("stop_bits", {1, 2}, 1));
  } else {
    address.port = static_cast<int>(table.integer("port", 1, 65535, 502));
    address.rtu_over_tcp = table.choice<bool>("framing", {{"tcp", false}, {"rtu", true}}, false);
  }
  if (address.framing() == Framing::rtu && table.has("connections"))
    table.fail("connections", "is for framing = \"tcp\" alone: a line of RTU frames has one master");
  if (address.framing() == Framing::tcp) bus.connections = static_cast<int>(table.integer("connections", 1, 8, 1));
  address.unit_pause = milliseconds(table.duration("unit_pause", 0ms, 5s, address.is_serial() ? 10ms : 0ms));
  address.timeout = milliseconds(table.duration("timeout", 50ms, 30s, address.is_serial() ? 600ms : 1s));
  for (const auto& meter : table.tables("meters")) {
    bus.meters.push_back(parse_meter(meter, directories));
    for (std::size_t i = 0; i + 1 < bus.meters.size(); ++i) {
      const auto& other = bus.meters[i];
      const auto& last = bus.meters.back();
      // Two meters in one unit's registers would count the same energy twice; SunSpec models are meters of their own.
      const bool are_models = !other.profile.sunspec.empty() && !last.profile.sunspec.empty();
      if (other.unit == last.unit &&
          (!are_models || (other.profile.id == last.profile.id && other.instance == last.instance))) {
        meter.fail("unit",
                   fmt::format("expected a unit no other meter of this bus has; {:?} has it, too. SunSpec models "
                               "may share one: of several of one kind, instance says which",
                               other.device_id));
      }
      if (bus.meters[i].device_id == bus.meters.back().device_id) {
        meter.fail("device", "expected a device no other meter has");
      }
    }
  }
  if (bus.meters.empty()) table.fail("meters", "is required: at least one [[buses.meters]]");
  table.reject_unknown_keys();
  return bus;
}

std::vector<BusConfig> split_connections(const BusConfig& bus) {
  const auto wanted = std::min(static_cast<std::size_t>(bus.connections), bus.meters.size());
  if (wanted <= 1) return {bus};
  std::vector<BusConfig> parts(wanted, bus);
  for (std::size_t i = 0; i < wanted; ++i) {
    parts[i].meters.clear();
    if (i == 0) continue;
    parts[i].id += fmt::format("#{}", i + 1);
    if (!bus.learnt_path.empty()) parts[i].learnt_path += fmt::format(".{}", i + 1);
  }
  for (std::size_t i = 0; i < bus.meters.size(); ++i) parts[i % wanted].meters.push_back(bus.meters[i]);
  return parts;
}

}  // namespace wattd::drivers::modbus
