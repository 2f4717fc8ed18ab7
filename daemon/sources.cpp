#include "daemon/sources.h"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/thread.h"

namespace wattd::daemon {

Sources::Sources(const Settings& settings, const std::string& gateway_id,
                 const std::shared_ptr<drivers::gpio::Totals>& totals, drivers::Intake& intake, const Clock& clock) {
  for (auto config : settings.connections) {
    if (config.broker.client_id.empty())
      config.broker.client_id = fmt::format("wattd-{}-{}", gateway_id.substr(0, 8), config.id);
    if (std::ranges::find(config.subscriptions, "sparkplug", &drivers::mqtt::Subscription::publisher) !=
        config.subscriptions.end()) {
      auto broker = config.broker;
      broker.client_id += "-w";
      writers_.emplace(config.id, std::make_unique<drivers::mqtt::Writer>(std::move(broker), config.id));
    }
    connections_.push_back(std::make_unique<drivers::mqtt::Connection>(
        std::move(config), settings.pipeline.commit_interval, intake, clock));
  }
  for (const auto& config : settings.buses) {
    for (auto& part : drivers::modbus::split_connections(config)) {
      auto& trace = traces_[part.id] = std::make_shared<drivers::modbus::Trace>();
      auto link = drivers::modbus::open_link(part.address, clock, trace);
      buses_.push_back(std::make_shared<drivers::modbus::Bus>(std::move(part), std::move(link), intake, clock));
    }
  }
  for (const auto& config : settings.chips) {
    auto lines = drivers::gpio::kernel_lines(config.chip, drivers::gpio::lines_of(config));
    chips_.push_back(std::make_unique<drivers::gpio::Gpio>(config, std::move(lines), totals, intake, clock));
  }
  for (const auto& connection : connections_) {
    threads_.push_back(start_thread("mqtt", [&c = *connection](const std::stop_token& stop) { c.run(stop); }));
  }
  for (const auto& bus : buses_) {
    threads_.push_back(start_thread("bus", [&b = *bus](const std::stop_token& stop) { b.run(stop); }));
  }
  for (const auto& chip : chips_)
    threads_.push_back(start_thread("gpio", [&c = *chip](const std::stop_token& stop) { c.run(stop); }));
}

std::jthread start_replay(const drivers::replay::ReplayConfig& config, drivers::Intake& intake, const Clock& clock) {
  return start_thread("replay", [config, &intake, &clock](const std::stop_token& stop) {
    try {
      drivers::replay::play(config, intake, clock, stop);
    } catch (const std::runtime_error& problem) {
      log::error(fmt::format("replay: {}", problem.what()));
    }
  });
}

Sources::~Sources() {
  // All at once first: each may need a moment to finish what it is doing.
  for (auto& thread : threads_) thread.request_stop();
}

std::vector<api::ChipStatus> Sources::chips() const {
  std::vector<api::ChipStatus> list;
  for (const auto& chip : chips_) list.push_back({chip->config().chip, chip->last_error()});
  return list;
}

std::vector<Reading> Sources::take_totals() {
  std::vector<Reading> all;
  for (const auto& chip : chips_) std::ranges::move(chip->take(), std::back_inserter(all));
  return all;
}

void Sources::drive_relays(const std::array<std::int64_t, 4>& alerts, const std::vector<std::string>& channels) {
  for (const auto& chip : chips_) chip->drive(alerts, channels);
}

std::shared_ptr<drivers::modbus::Trace> Sources::trace(const std::string& bus) const {
  const auto found = traces_.find(bus);
  return found == traces_.end() ? nullptr : found->second;
}

void Sources::tell(const drivers::mqtt::Command& command) {
  if (const auto writer = writers_.find(command.source); writer != writers_.end())
    writer->second->publish(command.topic, command.payload);
}

std::vector<api::ConnectionStatus> Sources::connections() const {
  std::vector<api::ConnectionStatus> list;
  for (const auto& connection : connections_) {
    const auto& counts = connection->counts();
    list.push_back({connection->config().id, connection->config().broker.address(), counts.connected, counts.messages,
                    counts.connects, counts.retained_skipped, counts.full_pauses, connection->last_error()});
  }
  return list;
}

std::vector<api::BusStatus> Sources::buses() const {
  std::vector<api::BusStatus> list;
  for (const auto& bus : buses_) list.push_back({bus->config().id, bus->config().address.text(), bus->health()});
  return list;
}

std::shared_ptr<drivers::modbus::Bus> Sources::bus(const std::string& id) const {
  const auto found = std::ranges::find(buses_, id, [](const auto& bus) { return bus->config().id; });
  return found == buses_.end() ? nullptr : *found;
}

}  // namespace wattd::daemon
