#pragma once
#include <chrono>
#include <memory>
#include <string>

#include "config/table.h"

struct mosquitto;

namespace wattd::drivers::mqtt {

/// How to reach a broker, and as whom.
struct Broker {
  std::string host = "127.0.0.1";
  int port = 1883;
  std::string client_id;
  std::string username;
  std::string password;
  std::chrono::seconds keepalive{30};
  std::string ca_file, cert_file, key_file;  ///< TLS when `ca_file` is set.
  bool v5 = false;                           ///< MQTT 5; else 3.1.1.
  /// MQTT 5 alone: how long the broker keeps the session of a gateway that is away. 3.1.1 keeps it for ever.
  std::chrono::seconds session_expiry{0};
  int receive_maximum = 0;  ///< MQTT 5 alone: messages sent to us without an answer; 0 for as many as the broker likes.

  std::string address() const { return host + ":" + std::to_string(port); }
  bool operator==(const Broker&) const = default;
};

/// Reads the keys of a broker from a table that may have others. Errors: throws config::ConfigError.
Broker parse_broker(const config::Table& table);

struct FreeClient {
  void operator()(mosquitto* client) const;
};
using Client = std::unique_ptr<mosquitto, FreeClient>;

/// A client whose writes are all its owner's, by mosquitto_loop_write: none leaves from within another call.
/// Owns: nothing; `owner` is what callbacks get. `clean` sessions end with the connection.
/// Errors: throws std::runtime_error with `name` for a client id or TLS files that cannot be used.
Client make_client(const Broker& broker, bool clean, void* owner, const std::string& name);

/// Opens the connection; the broker answers later. Asks first whether anybody is there, for the library would wait
/// long. Shape: why it could not be opened; empty when it is.
std::string connect(mosquitto* client, const Broker& broker);

}  // namespace wattd::drivers::mqtt
