#include "drivers/mqtt/connection.h"

namespace wattd::drivers::mqtt {

ConnectionConfig parse_connection(const config::Table& table) {
  using namespace std::chrono_literals;
  ConnectionConfig connection;
  connection.id = table.text("id", connection.id);
  connection.host = table.text("host", connection.host);
  connection.port = static_cast<int>(table.integer("port", 1, 65535, connection.port));
  connection.client_id = table.text("client_id", "");
  if (connection.host.empty()) table.fail("host", "expected a name or an address");
  connection.username = table.text("username", "");
  connection.password = table.secret("password");
  if (connection.username.empty() && table.has("password")) {
    throw config::ConfigError(table.origin() + ": a password needs a username beside it");
  }
  connection.subscriptions = parse_subscriptions(table);
  for (auto& subscription : connection.subscriptions) subscription.source = connection.id;
  connection.window = static_cast<int>(table.integer("window", 1, 4096, connection.window));
  connection.keepalive = std::chrono::duration_cast<std::chrono::seconds>(table.duration("keepalive", 5s, 1h, 30s));
  const auto tls = table.table("tls");
  connection.ca_file = tls.readable_file("ca_file");
  connection.cert_file = tls.readable_file("cert_file");
  connection.key_file = tls.readable_file("key_file");
  if (table.has("tls") && connection.ca_file.empty())
    tls.fail("ca_file", "is required: the file of the CA's certificate");
  if (connection.cert_file.empty() != connection.key_file.empty()) {
    tls.fail("cert_file", "a client certificate needs both cert_file and key_file");
  }
  tls.reject_unknown_keys();
  table.reject_unknown_keys();
  return connection;
}

}  // namespace wattd::drivers::mqtt
