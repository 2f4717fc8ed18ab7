#include "drivers/mqtt/connection.h"

namespace wattd::drivers::mqtt {

ConnectionConfig parse_connection(const config::Table& table) {
  using namespace std::chrono_literals;
  ConnectionConfig connection;
  connection.id = table.text("id", connection.id);
  connection.broker = parse_broker(table);
  connection.subscriptions = parse_subscriptions(table);
  for (auto& subscription : connection.subscriptions) subscription.source = connection.id;
  connection.window = static_cast<int>(table.integer("window", 1, 4096, connection.window));
  auto& broker = connection.broker;
  if (table.has("session_expiry") && !broker.v5)
    table.fail("session_expiry", "is for version = \"5\": a session of MQTT 3.1.1 has none");
  broker.session_expiry = std::chrono::duration_cast<std::chrono::seconds>(
      table.duration("session_expiry", 1min, 24h * 365 * 100, 24h * 30));
  broker.receive_maximum = connection.window;
  table.reject_unknown_keys();
  return connection;
}

}  // namespace wattd::drivers::mqtt
