#include "daemon/settings.h"

#include "daemon/bundle_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

namespace wattd::daemon {
namespace {

using namespace std::chrono_literals;

constexpr const char* kStateDirectory = "/var/lib/wattd";

storage::Options parse_storage(const config::Table& table) {
  constexpr std::int64_t kGiB = 1 << 30;
  storage::Options storage;
  storage.directory = table.text("directory", kStateDirectory);
  storage.ring_bytes = table.bytes("ring", 1 << 20, 1024 * kGiB, storage.ring_bytes);
  storage.dead_letter_bytes = table.bytes("dead_letters", 64 << 10, 64 * kGiB, storage.dead_letter_bytes);
  storage.wal_bytes = table.bytes("wal", 8 << 20, 64 * kGiB, storage.wal_bytes);
  storage.database_bytes = table.bytes("database", 16 << 20, 16'000 * kGiB, storage.database_bytes);
  storage.ballast_bytes = table.bytes("ballast", 0, 64 * kGiB, storage.ballast_bytes);
  const auto days = [&](const char* key, std::chrono::days fallback) {
    return std::chrono::duration_cast<std::chrono::days>(table.duration(key, 24h, 24h * 36'600, fallback));
  };
  storage.raw_retention = days("raw_retention", storage.raw_retention);
  storage.hourly_retention = days("hourly_retention", storage.hourly_retention);
  storage.daily_retention = days("daily_retention", storage.daily_retention);
  storage.backup_directory = table.text("backup_directory", "");
  storage.backups = static_cast<std::size_t>(table.integer("backups", 0, 366, 7));
  if (storage.ring_bytes > storage.database_bytes / 2)
    table.fail("ring", fmt::format("expected at most half of database, which is {} bytes", storage.database_bytes));
  if (storage.hourly_retention < storage.raw_retention)
    table.fail("hourly_retention", "expected at least raw_retention");
  if (storage.daily_retention < storage.hourly_retention)
    table.fail("daily_retention", "expected at least hourly_retention");
  const auto directory = std::filesystem::path(storage.directory).lexically_normal();
  if (std::filesystem::path(storage.backup_directory).lexically_normal() == directory)
    table.fail("backup_directory", "expected another directory than that of the data");
  const auto least = storage.database_bytes + storage.wal_bytes + storage.ballast_bytes;
  storage.limit_bytes = table.bytes("limit", 0, 64'000 * kGiB, least + storage.database_bytes);
  if (storage.limit_bytes < least) {
    table.fail("limit", fmt::format("expected at least database, wal and ballast together, which are {} bytes; copies "
                                    "of the database take what is left",
                                    least));
  }
  auto vault = storage::Vault::parse(table.secret("key"));
  if (!vault) table.fail("key", "names a file whose " + vault.error().message);
  storage.vault = std::move(*vault);
  table.reject_unknown_keys();
  return storage;
}

/// Who says that the wall clock is right.
ClockTrust parse_clock(const config::Table& clock) {
  const auto trust =
      clock.choice<ClockTrust>("trust", {{"ntp", ClockTrust::ntp}, {"rtc", ClockTrust::rtc}}, ClockTrust::ntp);
  clock.reject_unknown_keys();
  return trust;
}

/// Whose hours, days and months a report has.
std::string parse_zone(const config::Table& site) {
  auto zone = site.text("zone", "UTC");
  try {
    const Calendar known(zone);
  } catch (const std::invalid_argument&) {
    site.fail("zone", fmt::format("is {:?}; expected an IANA time zone such as Europe/Berlin or Asia/Kolkata", zone));
  }
  site.reject_unknown_keys();
  return zone;
}

std::vector<std::string> profile_directories(const config::Table& root, const std::string& bundle) {
  const auto modbus = root.table("modbus");
  auto directories = modbus.texts("profiles");
  modbus.reject_unknown_keys();
  if (!bundle.empty()) directories.push_back(bundle + "/profiles");
  // The user's own profiles win over the shipped ones.
  directories.insert(directories.end(), {"/etc/wattd/profiles", "/usr/share/wattd/profiles"});
  return directories;
}

template <class Item, class Id>
void require_unique(const config::Table& root, std::string_view key, const std::vector<Item>& items, Id id) {
  std::set<std::string> seen;
  for (const auto& item : items) {
    if (!seen.insert(id(item)).second)
      root.fail(key, fmt::format("expected different ids; {:?} appears twice", id(item)));
  }
}

/// A name of its own for each id, whatever is in it.
std::string file_name_of(const std::string& id) {
  std::string name;
  for (const unsigned char c : id)
    name += std::isalnum(c) != 0 ? std::string(1, static_cast<char>(c)) : fmt::format("-{:02x}", c);
  return name;
}

/// A line has one master, and many a serial server takes one client.
void require_one_master(const config::Table& root, const std::vector<drivers::modbus::BusConfig>& buses) {
  std::set<std::string> seen;
  for (const auto& bus : buses) {
    const auto& address = bus.address;
    const auto line = address.is_serial() ? address.device : fmt::format("{}:{}", address.host, address.port);
    if (!seen.insert(line).second)
      root.fail("buses", fmt::format("expected one table for {}, with all of its meters; a host that takes several "
                                     "connections at once has connections = 2 or more",
                                     line));
  }
}

/// What the profile says of a meter's counters, before what the configuration says of them.
void add_counters(const drivers::modbus::MeterConfig& meter, pipeline::RegistryConfig& registry) {
  for (const auto& row : meter.profile.registers) {
    if (row.counter != CounterRules{})
      registry.counters.insert(registry.counters.begin(), {meter.device_id, row.measurand, row.counter});
  }
}

void add_device(Settings& settings, Device device) {
  auto& devices = settings.registry.devices;
  if (std::ranges::find(devices, device.id, &Device::id) != devices.end()) return;
  device.name = device.id;
  device.enrichment = EnrichmentStatus::success;
  device.origin = settings.config_path;
  devices.push_back(std::move(device));
}

/// Two counters in one series would look like one that is reset all the time.
void require_no_register(const config::Table& root, const Settings& settings, const drivers::gpio::PulseConfig& pulse) {
  for (const auto& bus : settings.buses) {
    for (const auto& meter : bus.meters) {
      const bool is_read = meter.device_id == pulse.device &&
                           std::ranges::find(meter.profile.registers, pulse.measurand,
                                             &drivers::modbus::Register::measurand) != meter.profile.registers.end();
      if (is_read)
        root.fail("gpio", fmt::format("expected another device than {:?} for the pulses, or another field: {} is read "
                                      "from that meter already",
                                      pulse.device, pulse.measurand));
    }
  }
}

/// What stands behind pulses and contacts is a device, too.
void add_contacts(const config::Table& root, Settings& settings) {
  std::set<std::string> counted;
  for (const auto& chip : settings.chips) {
    for (const auto& pulse : chip.pulses) {
      if (!counted.insert(pulse.device).second)
        root.fail("gpio", fmt::format("expected one pulse output a device; {:?} has two", pulse.device));
      require_no_register(root, settings, pulse);
      add_device(settings, {.id = pulse.device, .type = "pulse_meter"});
    }
    for (const auto& input : chip.inputs) add_device(settings, {.id = input.device, .type = "contact"});
  }
}

/// Every meter is a device, whether or not a [[devices]] table says more about it.
void add_meters(const config::Table& root, Settings& settings) {
  std::set<std::string> polled;
  for (const auto& bus : settings.buses) {
    for (const auto& meter : bus.meters) {
      if (!polled.insert(meter.device_id).second) {
        root.fail("buses", fmt::format("expected each device on one bus; {:?} is on two", meter.device_id));
      }
      add_counters(meter, settings.registry);
      add_device(
          settings,
          {.id = meter.device_id, .type = "meter", .manufacturer = meter.profile.vendor, .model = meter.profile.id});
    }
  }
}

/// What no table can tell by itself: names that stand twice, and what one says of another.
void fit_together(const config::Table& root, Settings& settings) {
  require_unique(root, "gpio", settings.chips, [](const auto& chip) { return chip.chip; });
  require_unique(root, "mqtt", settings.connections, [](const auto& connection) { return connection.id; });
  require_unique(root, "buses", settings.buses, [](const auto& bus) { return bus.id; });
  const auto& state = settings.storage.directory;
  for (auto& bus : settings.buses) bus.learnt_path = fmt::format("{}/buses/{}.learnt", state, file_name_of(bus.id));
  for (auto& connection : settings.connections)
    connection.filters_path = fmt::format("{}/mqtt/{}.filters", state, file_name_of(connection.id));
  require_one_master(root, settings.buses);
  require_unique(root, "homeassistant", settings.homes, [](const auto& home) { return home.id; });
  require_unique(root, "sinks", settings.sinks, [](const auto& sink) { return sink.id; });
  require_unique(root, "collect", settings.collected, [](const auto& one) { return one.id; });
  for (auto one = settings.collected.begin(); one != settings.collected.end(); ++one) {
    const auto same = std::find_if(std::next(one), settings.collected.end(), [&](const auto& other) {
      return other.token == one->token || other.prefix == one->prefix;
    });
    if (same != settings.collected.end())
      root.fail("collect",
                fmt::format("{:?} and {:?} have the same token or prefix; the token tells them apart, and the "
                            "prefix their devices",
                            one->id, same->id));
  }
  require_unique(root, "channels", settings.channels, [](const auto& channel) { return channel.id; });
  require_unique(root, "rules", settings.rules, [](const auto& rule) { return rule.name; });
  for (const auto& rule : settings.rules) {
    if (const auto heard = check_channels(rule, settings); !heard)
      root.fail("rules", fmt::format("{}: {}", rule.origin, heard.error().message));
  }
  if (const auto fits = rules::check_limits(settings.rules, settings.pipeline.rules); !fits)
    root.fail("rules", fits.error().message);
  add_meters(root, settings);
  add_contacts(root, settings);
  for (const auto& connection : settings.connections) {
    const auto& wanted = connection.subscriptions;
    auto& all = settings.pipeline.subscriptions;
    all.insert(all.end(), wanted.begin(), wanted.end());
  }
}

}  // namespace

namespace {

/// The files of a person on this gateway.
config::Table load_own_files(const std::string& path, bool must_exist, const std::string& bundle) {
  if (!must_exist && !std::filesystem::exists(path)) return config::parse("", path);
  std::vector<std::string> drop_ins{(std::filesystem::path(path).parent_path() / "conf.d").string()};
  if (!bundle.empty()) drop_ins.push_back(bundle + "/conf.d");
  return config::load(path, drop_ins);
}

std::string bundles_of(const config::Table& own) {
  return own.table("storage").text("directory", kStateDirectory) + "/bundle";
}

/// A gateway that a bundle could send elsewhere for bundles would be lost with one mistake; and what takes effect at
/// the next start alone is not tried by a trial.
void require_no_roots_in(const std::string& bundle) {
  const auto files = config::load("", {bundle + "/conf.d"});
  for (const auto* key : {"bundle", "storage", "api", "site", "pipeline", "clock", "replay"}) {
    if (files.has(key)) files.fail(key, "stands in the gateway's own files alone, never in a bundle");
  }
}

}  // namespace

std::string bundle_directory(const std::string& path, bool must_exist) {
  return bundles_of(load_own_files(path, must_exist, ""));
}

Settings load_settings(const std::string& path, bool must_exist, std::optional<std::string> bundle_directory) {
  Settings settings;
  settings.config_path = path;
  auto root = load_own_files(path, must_exist, "");
  const bool has_bundle = root.has("bundle");
  if (!bundle_directory) bundle_directory = BundleStore(bundles_of(root)).current();
  // Who takes the table out has the gateway's own files alone again.
  if (!has_bundle) bundle_directory->clear();
  if (!bundle_directory->empty()) {
    require_no_roots_in(*bundle_directory);
    root = load_own_files(path, must_exist, *bundle_directory);
  }
  if (has_bundle) settings.bundle = sync::parse_bundle_config(root.table("bundle"));

  settings.log_level = root.choice<log::Level>("log_level",
                                               {{"error", log::Level::error},
                                                {"warning", log::Level::warning},
                                                {"notice", log::Level::notice},
                                                {"info", log::Level::info},
                                                {"debug", log::Level::debug}},
                                               log::Level::info);
  settings.storage = parse_storage(root.table("storage"));
  settings.storage.waits_for_clock = true;
  settings.clock_trust = parse_clock(root.table("clock"));
  settings.storage.zone = parse_zone(root.table("site"));
  settings.pipeline = pipeline::parse_options(root.table("pipeline"));
  settings.pipeline.raw_retention = settings.storage.raw_retention;
  settings.registry = pipeline::parse_registry(root);
  settings.api = api::parse_server(root.table("api"));
  for (const auto& table : root.tables("collect")) settings.collected.push_back(api::parse_collected(table));
  const auto directories = profile_directories(root, *bundle_directory);
  for (const auto& table : root.tables("mqtt")) settings.connections.push_back(drivers::mqtt::parse_connection(table));
  for (const auto& table : root.tables("buses"))
    settings.buses.push_back(drivers::modbus::parse_bus(table, directories));
  for (const auto& table : root.tables("gpio")) settings.chips.push_back(drivers::gpio::parse_chip(table));
  for (const auto& table : root.tables("replay")) settings.replays.push_back(drivers::replay::parse_replay(table));
  settings.pipeline.rules = rules::parse_options(root.table("alerts"));
  for (const auto& table : root.tables("rules")) settings.rules.push_back(rules::parse_rule(table));
  for (const auto& table : root.tables("channels")) settings.channels.push_back(notify::parse_channel(table));
  for (const auto& table : root.tables("sinks")) settings.sinks.push_back(sync::parse_sink(table));
  for (const auto& table : root.tables("homeassistant")) settings.homes.push_back(sync::parse_home_assistant(table));
  root.reject_unknown_keys();

  fit_together(root, settings);
  return settings;
}

namespace {

/// Those of the channels that nothing stands for.
std::set<std::string> unknown_of(std::set<std::string> named, const Settings& settings) {
  for (const auto& channel : settings.channels) named.erase(channel.id);
  for (const auto& chip : settings.chips) {
    for (const auto& output : chip.outputs) named.erase(output.channel);
  }
  return named;
}

std::set<std::string> unknown_channels(const Settings& settings) {
  std::set<std::string> named(settings.pipeline.rules.channels.begin(), settings.pipeline.rules.channels.end());
  for (const auto& rule : settings.rules) {
    named.insert(rule.channels.begin(), rule.channels.end());
    named.insert(rule.escalate_to.begin(), rule.escalate_to.end());
  }
  return unknown_of(std::move(named), settings);
}

}  // namespace

Result<std::vector<std::string>> check_channels(const Rule& rule, const Settings& settings) {
  for (const auto& [id, recipients] : rule.recipients) {
    const auto channel = std::ranges::find(settings.channels, id, &notify::ChannelConfig::id);
    if (channel == settings.channels.end()) continue;
    for (const auto& one : recipients) {
      if (const auto expected = notify::expected_instead_of(channel->kind, one); !expected.empty())
        return fail(ErrorKind::permanent, fmt::format("recipients of {} has {:?}; expected {}", id, one, expected));
    }
  }
  std::set<std::string> named(rule.channels.begin(), rule.channels.end());
  named.insert(rule.escalate_to.begin(), rule.escalate_to.end());
  std::vector<std::string> warnings;
  for (const auto& id : unknown_of(std::move(named), settings))
    warnings.push_back(fmt::format("nobody is told over the channel {:?}: no [[channels]] table has that id", id));
  return warnings;
}

std::vector<std::string> missing_parts(const Settings& settings) {
  std::vector<std::string> missing;
  const auto directory = std::filesystem::path(settings.config_path).parent_path().string();
  if (settings.connections.empty() && settings.buses.empty() && settings.chips.empty() && settings.replays.empty() &&
      settings.collected.empty()) {
    missing.push_back(
        fmt::format("No source is configured: add an [[mqtt]], [[buses]] or [[gpio]] table to {} or to a file in "
                    "{}/conf.d, then run systemctl reload wattd.",
                    settings.config_path, directory));
  }
  if (settings.sinks.empty()) {
    missing.push_back(
        fmt::format("No upstream is configured: readings stay on this gateway until a [[sinks]] table in "
                    "{} says where they go.",
                    settings.config_path));
  }
  for (const auto& channel : unknown_channels(settings)) {
    missing.push_back(
        fmt::format("Nobody is told over the channel {:?}, which rules name: add a [[channels]] table "
                    "with that id to {}.",
                    channel, settings.config_path));
  }
  return missing;
}

}  // namespace wattd::daemon
